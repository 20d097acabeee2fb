defmodule Wasmex.Run do
  @moduledoc """
  What a program did: the result of `Wasmex.run/3`, and `run` in the exceptions of programs that were
  stopped.

  - `:status`: the exit status, 0 for success; nil when it was stopped
  - `:results`: of the function of `invoke:`
  - `:stdout`, `:stderr`: what was printed (a binary for `:capture`, the collected value for a
    Collectable), nil where it went elsewhere
  - `:fuel_used`: nil without `fuel:`
  - `:peak_memory`: the most bytes that all its memories had together
  - `:duration`: microseconds, from before the instance was made
  - `:profile`: a `Wasmex.Profile`, with `profile: true`
  - `:core_dump`: the bytes of a core dump (a wasm file), with `core_dump: true`, after a trap

  ## Example

      iex> {:ok, run} = Wasmex.run(~s|(module (memory (export "memory") 2) (func (export "_start")))|)
      iex> {run.status, run.stdout, run.peak_memory}
      {0, "", 131_072}
  """

  defstruct [
    :status,
    :stdout,
    :stderr,
    :fuel_used,
    :profile,
    :core_dump,
    results: [],
    peak_memory: 0,
    duration: 0
  ]

  @type t :: %__MODULE__{
          status: integer() | nil,
          results: [term()],
          stdout: binary() | term() | nil,
          stderr: binary() | term() | nil,
          fuel_used: non_neg_integer() | nil,
          peak_memory: non_neg_integer(),
          duration: non_neg_integer(),
          profile: Wasmex.Profile.t() | nil,
          core_dump: binary() | nil
        }
end
