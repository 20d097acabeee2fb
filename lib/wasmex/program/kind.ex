defmodule Wasmex.Program.Kind do
  @moduledoc false
  # The differences between programs that are core modules (WASI preview 1, `Kind.Core`) and components (WASI 0.2,
  # `Kind.Component`): linking, WASI options, instantiation and entry. `Wasmex.Program.Compiled` selects the kind.

  alias Wasmex.{Components, Engine, Error, Module, Template}
  alias Wasmex.Program.{Entry, Options}
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @type compiled :: Module.t() | Components.Component.t()
  @type template :: Template.t() | Components.Template.t()

  @doc "Serializes the compiled program to an artefact."
  @callback serialize(compiled()) :: {:ok, binary()} | {:error, Exception.t()}

  @doc """
  The full name of a function, and the types of its parameters and results. The name of a component's function may be
  abbreviated if it is unique. The error lists the functions.
  """
  @callback function(compiled(), name :: String.t()) ::
              {:ok, {name :: String.t(), params :: [term()], results :: [term()]}}
              | {:error, String.t()}

  @doc "The engine it was compiled for."
  @callback engine(compiled()) :: Engine.t()

  @doc "Whether the program has a start function; otherwise a description and its exported functions."
  @callback program?(compiled()) :: :ok | {:not, what :: String.t(), functions :: [String.t()]}

  @doc "The name of the program."
  @callback name(compiled()) :: String.t()

  @doc "Resolves the imports: WASI, and `imports`."
  @callback link(compiled(), imports :: map(), traced? :: boolean()) ::
              {:ok, template()} | {:error, Exception.t()}

  @doc "Returns an error for options that this kind does not support."
  @callback supported(Options.t()) :: :ok | {:error, Error.t()}

  @doc "The WASI options, with argv and the pipes of the standard streams."
  @callback wasi(Options.t(), argv :: [String.t()], pipes :: tuple()) ::
              WasiOptions.t() | WasiP2Options.t()

  @doc "A function that starts the instantiation and returns its first step."
  @callback instantiation(
              store :: reference(),
              compiled(),
              template() | nil,
              Options.t()
            ) :: (() -> term())

  @doc "The entry of the start function, or of the function in `invoke:`."
  @callback entry(
              compiled(),
              invoke :: {String.t(), [term()]} | {String.t(), [term()], keyword()} | nil
            ) :: Entry.t()
end
