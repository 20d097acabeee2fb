defmodule Wasmex.Program.Kind do
  @moduledoc false
  # What differs between programs that are core modules (WASI preview 1, `Kind.Core`) and components (WASI 0.2,
  # `Kind.Component`): how they are linked, granted, instantiated and entered. `Wasmex.Program.Compiled` says which of the
  # two a program is; nobody else asks.

  alias Wasmex.{Components, Engine, Error, Module, Template}
  alias Wasmex.Program.{Entry, Options}
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @type compiled :: Module.t() | Components.Component.t()
  @type template :: Template.t() | Components.Template.t()

  @doc "The compiled program as bytes that are verified when they are loaded."
  @callback serialize(compiled()) :: {:ok, binary()} | {:error, Exception.t()}

  @doc """
  A function's name in full and the types of its parameters and results. Of a component the name may be short: without
  the interface, or with the interface alone. The error says which functions there are.
  """
  @callback function(compiled(), name :: String.t()) ::
              {:ok, {name :: String.t(), params :: [term()], results :: [term()]}}
              | {:error, String.t()}

  @doc "The engine it was compiled for."
  @callback engine(compiled()) :: Engine.t()

  @doc "Whether it can be started, and if not, what it is instead and the functions it exports."
  @callback program?(compiled()) :: :ok | {:not, what :: String.t(), functions :: [String.t()]}

  @doc "The name it gives itself."
  @callback name(compiled()) :: String.t()

  @doc "Resolves its imports: those of WASI, and `imports`."
  @callback link(compiled(), imports :: map(), traced? :: boolean()) ::
              {:ok, template()} | {:error, Exception.t()}

  @doc "An error for an option that programs of this kind can't have."
  @callback supported(Options.t()) :: :ok | {:error, Error.t()}

  @doc "What WASI grants, given argv and the pipes of the standard streams."
  @callback wasi(Options.t(), argv :: [String.t()], pipes :: tuple()) ::
              WasiOptions.t() | WasiP2Options.t()

  @doc "A function that makes an instance in the store: the first step of a call."
  @callback instantiation(
              store :: reference(),
              compiled(),
              template() | nil,
              Options.t()
            ) :: (() -> term())

  @doc "The entry of the program itself, or of the function that `invoke:` names."
  @callback entry(compiled(), invoke :: {String.t(), [term()]} | nil) :: Entry.t()
end
