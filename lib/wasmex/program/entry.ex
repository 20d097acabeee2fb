defmodule Wasmex.Program.Entry do
  @moduledoc false
  # The entry point of a program after its instantiation, and its effect on streams and results. Both kinds of programs have
  # entries for their start function and for `invoke:`. Protocols define their own (see `Wasmex.HTTP.Component`), so that
  # programs do not depend on them.

  alias Wasmex.Call.Context
  alias Wasmex.Program.Options
  alias Wasmex.{Pipe, Run}

  @typedoc "A pipe of the session, or `:null`."
  @type pipe :: Pipe.t() | :null

  @typedoc "A function that creates the context of imported functions, and one that returns the first step of the call."
  @type begun :: {(term() -> Context.t()) | nil, (() -> term())}

  @enforce_keys [:begin]
  defstruct begin: nil,
            # The WASI options and the streams for WASI.
            wasi: &__MODULE__.wasi/2,
            # Adds the results of the call to the run.
            complete: &__MODULE__.complete/2

  @type t :: %__MODULE__{
          begin: (instance :: reference(), {stdin :: pipe(), stdout :: pipe()} -> begun()),
          wasi:
            (Options.t(), {pipe(), pipe(), pipe()} -> {Options.t(), {pipe(), pipe(), pipe()}}),
          complete: ([term()], Run.t() -> Run.t() | {:error, Exception.t()})
        }

  @doc "WASI receives the streams unchanged."
  @spec wasi(Options.t(), {pipe(), pipe(), pipe()}) :: {Options.t(), {pipe(), pipe(), pipe()}}
  def wasi(options, pipes), do: {options, pipes}

  @doc "The call returned: the exit status is 0."
  @spec complete([term()], Run.t()) :: Run.t()
  def complete(_results, run), do: %{run | status: 0}

  @doc "The results become those of the run."
  @spec results([term()], Run.t()) :: Run.t()
  def results(results, run), do: %{run | results: results}
end
