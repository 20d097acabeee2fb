defmodule Wasmex.Run do
  @moduledoc """
  The result of `Wasmex.run/3`, and the field `run` in exceptions of programs that were stopped.

  - `:status`: the exit status, 0 for success; `nil` if the program was stopped
  - `:results`: the results of the function named by `invoke:`
  - `:stdout`, `:stderr`: the output (a binary for `:capture`, the collected value for a Collectable), or
    `nil` for other destinations
  - `:fuel_used`: the fuel consumed; `nil` without `fuel:`
  - `:peak_memory`: the peak size in bytes of all its memories together
  - `:duration`: microseconds, including instantiation
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
