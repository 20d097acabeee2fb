defmodule Wasmex.Pool.Worker.Program do
  @moduledoc false
  # WASI programs: each run is a new instance, whatever the policy, since a program ends with its run. A worker is the
  # permission to run one.

  @behaviour Wasmex.Pool.Worker

  alias Wasmex.Program

  @impl true
  def make({program, opts}), do: {:ok, {program, opts}}

  @impl true
  def reset(worker), do: {:ok, worker}

  @impl true
  def call({program, own}, :run, args, opts),
    do: Program.run(program, args, Keyword.merge(own, opts))

  def call(_worker, other, _args, _opts),
    do: Wasmex.Options.misuse!(":run as the function of a program, and its arguments", other)

  @impl true
  def close(_worker), do: :ok
end
