defmodule Wasmex.Program.Entry do
  @moduledoc false
  # How a program is entered once it is instantiated, and what follows from that for its streams and its result. The two
  # kinds of programs supply an entry for their start function and for `invoke:`; whoever serves a protocol supplies one of
  # its own (see `Wasmex.HTTP.Component`), so that programs know of no protocol.

  alias Wasmex.Call.Context
  alias Wasmex.Program.Options
  alias Wasmex.{Pipe, Run}

  @typedoc "A pipe of the session, or `:null`."
  @type pipe :: Pipe.t() | :null

  @typedoc "What makes the context of imported functions, and a function that returns the first step of the call."
  @type begun :: {(term() -> Context.t()) | nil, (() -> term())}

  @enforce_keys [:begin]
  defstruct begin: nil,
            # What WASI is given: the streams, unless the entry itself takes them.
            wasi: &__MODULE__.wasi/2,
            # What the results of the call say of the run.
            complete: &__MODULE__.complete/2

  @type t :: %__MODULE__{
          begin: (instance :: reference(), {stdin :: pipe(), stdout :: pipe()} -> begun()),
          wasi:
            (Options.t(), {pipe(), pipe(), pipe()} -> {Options.t(), {pipe(), pipe(), pipe()}}),
          complete: ([term()], Run.t() -> Run.t())
        }

  @doc "WASI gets the streams as they are."
  @spec wasi(Options.t(), {pipe(), pipe(), pipe()}) :: {Options.t(), {pipe(), pipe(), pipe()}}
  def wasi(options, pipes), do: {options, pipes}

  @doc "The call returned: the exit status is 0."
  @spec complete([term()], Run.t()) :: Run.t()
  def complete(_results, run), do: %{run | status: 0}

  @doc "The results are the run's own."
  @spec results([term()], Run.t()) :: Run.t()
  def results(results, run), do: %{run | results: results}
end
