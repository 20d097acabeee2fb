defmodule Wasmex.Code do
  alias Wasmex.Options

  @options Options.table(
             [
               name: [
                 type: {:or, [nil], :string},
                 default_doc: "the name of the file",
                 doc: "name for display",
                 example: ~s|"rules"|
               ],
               version: [
                 type: {:or, [nil], :string},
                 default_doc: "the first characters of the hash",
                 doc: "version for display",
                 example: ~s|"1.4.0"|
               ],
               engine: [
                 type: :keyword,
                 default: [],
                 default_doc: "those of `Wasmex.Engine.default/0`",
                 doc: "settings of `Wasmex.EngineConfig` to compile it with, on each node",
                 example: "[consume_fuel: true]"
               ]
             ],
             "Wasmex.Code.new/2"
           )

  @moduledoc """
  WebAssembly code identified by its SHA-256: a small value that can be sent to other nodes, in messages and closures.

  Compiled modules, instances and all other handles only exist on the node that created them. A `Wasmex.Code` can be
  sent anywhere: the receiving node fetches the bytes once from a node that has them, verifies the hash, and compiles
  them once, or fetches the artefact of the other node if version, processor and settings match.

  ## Example

      iex> {:ok, code} = Wasmex.Code.new({:bytes, ~s|(module (func (export "one") (result i32) i32.const 1))|}, name: "one")
      iex> {:ok, %Wasmex.Module{}} = Wasmex.Code.compiled(code)
      iex> {:ok, pool} = Wasmex.Pool.start_link(source: code)
      iex> Wasmex.Pool.call(pool, "one", [])
      {:ok, [1]}

  ## Lifetime

  The node's code store keeps the bytes as long as there is room (`config :wasmex, code_bytes: 536_870_912`; the least
  recently used are removed first), and as long as they are deployed by `Wasmex.Deploy`. Using a code whose bytes no
  node has any more is an error. `pack/1` stores the bytes in the value itself, for nodes that start after this one has
  stopped.

  Compiled code is remembered like that of files, see `Wasmex.run/3`, and kept in the application's disk cache (`config
  :wasmex, cache:`, see `Wasmex.Compiler`).

  ## Errors

  `%Wasmex.Error{reason: :code_unavailable}` when no node has the bytes, `:code_damaged` when they do not match the
  hash, and errors of compiling.

  ## Trust

  Nodes of a cluster trust each other: anyone with the cookie may run anything (see the security guide). An artefact
  from another node is machine code; `config :wasmex, code_artefacts: false` compiles on each node instead.
  """

  alias Wasmex.{Artefact, Cache, Compiler, Engine, Error, Module}
  alias Wasmex.Code.{Store, Transfer}
  alias Wasmex.Components.Component
  alias Wasmex.Program.Compiled

  @enforce_keys [:hash, :kind, :size, :name, :version, :engine, :origin]
  defstruct [:hash, :kind, :size, :name, :version, :engine, :origin, bytes: nil]

  @type t :: %__MODULE__{
          hash: <<_::256>>,
          kind: :module | :component,
          size: non_neg_integer(),
          name: String.t(),
          version: String.t(),
          engine: keyword(),
          origin: node(),
          bytes: binary() | nil
        }
  @type source :: Path.t() | {:bytes, binary()}

  @doc """
  Creates a code from a file or from bytes: wasm or its text, a module or a component. Nothing is compiled yet.

  #{Options.Docs.table(@options)}
  """
  @spec new(source(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def new(source, opts \\ []) do
    opts = Options.new!(opts, @options)
    %{limits: limits} = settings!(opts.engine)

    with {:ok, bytes} <- read(source),
         {:ok, bytes} <- wasm(bytes, limits) do
      hash = Store.put(bytes)

      {:ok,
       %__MODULE__{
         hash: hash,
         kind: kind(bytes),
         size: byte_size(bytes),
         name: opts.name || name(source),
         version: opts.version || short(hash),
         engine: opts.engine,
         origin: node()
       }}
    end
  end

  @doc false
  # A file of a function, unchanged, possibly text or an artefact: it is compiled elsewhere, with other settings.
  @spec of_file(String.t(), binary()) :: t()
  def of_file(name, bytes) do
    hash = Store.put(bytes)

    %__MODULE__{
      hash: hash,
      kind: :module,
      size: byte_size(bytes),
      name: name,
      version: short(hash),
      engine: [],
      origin: node()
    }
  end

  @doc "Like `new/2`, but raises the exception."
  @spec new!(source(), keyword()) :: t()
  def new!(source, opts \\ []) do
    case new(source, opts) do
      {:ok, code} -> code
      {:error, exception} -> raise exception
    end
  end

  defp settings!(settings) do
    case Keyword.keys(settings) -- Map.keys(Map.from_struct(%Wasmex.EngineConfig{})) do
      [] -> Wasmex.EngineConfig.validate!(struct!(Wasmex.EngineConfig, settings))
      [unknown | _] -> raise ArgumentError, "engine: has no setting #{inspect(unknown)}"
    end
  end

  defp read({:bytes, bytes}) when is_binary(bytes), do: {:ok, bytes}

  defp read(path) when is_binary(path) do
    with {:error, posix} <- Wasmex.Bytes.read(path) do
      message = "can't read #{Wasmex.Printable.line(path)}: #{Wasmex.Bytes.format_error(posix)}"
      {:error, %Error{reason: :file, details: %{path: path, posix: posix, message: message}}}
    end
  end

  defp read(other), do: Options.misuse!("a path or {:bytes, bytes} as code", other)

  defp wasm(<<0, "asm", _version::16, _layer::16, _::binary>> = bytes, _limits),
    do: {:ok, bytes}

  defp wasm(bytes, limits) do
    if Artefact.artefact?(bytes) do
      message =
        "an artefact can't be used as code: it depends on the version and the processor; use the wasm file"

      {:error, %Error{reason: :artefact, details: %{message: message}}}
    else
      Wasmex.Wat.parse(bytes, limits)
    end
  end

  defp kind(<<0, "asm", _version::16, 0::16, _::binary>>), do: :module
  defp kind(_component), do: :component

  defp name({:bytes, _}), do: "code"
  defp name(path), do: path |> Path.basename() |> Path.rootname()

  @doc "The hash as text, the first 12 characters."
  @spec short(t() | binary()) :: String.t()
  def short(%__MODULE__{hash: hash}), do: short(hash)
  def short(<<head::binary-6, _::binary>>), do: Base.encode16(head, case: :lower)

  @doc "The bytes: from the value, from this node, or fetched from another one."
  @spec bytes(t()) :: {:ok, binary()} | {:error, Exception.t()}
  def bytes(%__MODULE__{bytes: nil, hash: hash} = code) do
    with :error <- Store.get(hash),
         {:ok, bytes} <- Transfer.fetch(hash, code.size, code.origin) do
      Store.put(bytes)
      {:ok, bytes}
    end
  end

  def bytes(%__MODULE__{bytes: bytes, hash: hash}) do
    if :crypto.hash(:sha256, bytes) == hash do
      Store.put(bytes)
      {:ok, bytes}
    else
      Transfer.damaged(hash)
    end
  end

  @doc "The same code with its bytes included: larger, but independent of other nodes."
  @spec pack(t()) :: {:ok, t()} | {:error, Exception.t()}
  def pack(%__MODULE__{} = code) do
    with {:ok, bytes} <- bytes(code), do: {:ok, %{code | bytes: bytes}}
  end

  @doc """
  The module or component, compiled on this node. The first time takes as long as compiling (or fetching) does;
  concurrent callers wait for one of them.
  """
  @spec compiled(t()) :: {:ok, Module.t() | Component.t()} | {:error, Exception.t()}
  def compiled(%__MODULE__{} = code) do
    engine = engine(code)
    key = {__MODULE__, code.hash, Engine.resource(engine)}
    Cache.remember(key, fn -> make(code, engine) end)
  end

  defp make(code, engine) do
    with :none <- foreign(code, engine),
         {:ok, bytes} <- bytes(code),
         do: Compiled.compile(bytes, engine, Compiler.Options.default(true))
  end

  # The artefact of another node, if it fits. If anything is wrong with it, compile here.
  defp foreign(%{origin: origin} = code, engine) do
    with true <- origin != node() and Application.get_env(:wasmex, :code_artefacts, true),
         {:ok, artefact} <- Transfer.artefact(code, engine),
         {:ok, compiled} <- loaded(code.kind, artefact, engine) do
      {:ok, compiled}
    else
      _ -> :none
    end
  end

  defp loaded(:module, artefact, engine), do: Module.deserialize(artefact, engine)
  defp loaded(:component, artefact, engine), do: Component.deserialize(artefact, engine)

  @doc false
  # This node's engine with the code's settings.
  @spec engine(t()) :: Engine.t()
  def engine(%__MODULE__{engine: settings}), do: Engine.shared(settings)

  defimpl Inspect do
    def inspect(code, _opts) do
      name = Wasmex.Printable.text("#{code.name}@#{code.version}")
      "#Wasmex.Code<#{name} #{code.kind} #{Wasmex.Code.short(code)} #{code.size} bytes>"
    end
  end
end
