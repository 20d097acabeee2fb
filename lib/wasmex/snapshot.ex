defmodule Wasmex.Snapshot do
  alias Wasmex.Options
  alias Wasmex.Options.Type

  @rows [
    init: [
      type: {:or, [nil], :string},
      default_doc: "none: only start functions and `_initialize` run",
      doc: "the exported function that initialises the guest; it takes and returns nothing",
      example: ~s|"wizer-initialize"|
    ],
    start: [
      type: {:or, [nil], :string},
      default_doc: "as it is",
      doc: "the exported function that becomes `_start`, for programs",
      example: ~s|"wizer-resume"|
    ],
    keep_init: [
      type: :boolean,
      default: false,
      doc: "whether the function of `:init` stays exported; in components it always does"
    ],
    imports: [
      type: Type.Imports,
      default: %{},
      default_doc: "none",
      doc:
        "Elixir functions that the guest may call during initialisation; other imports fail when called"
    ],
    wasi: [
      type: :any,
      default: true,
      doc:
        "WASI during initialisation: `%Wasmex.Wasi.WasiOptions{}`, `%Wasmex.Wasi.WasiP2Options{}` for components, or `true` for nothing but clocks and randomness"
    ],
    timeout: [
      type: :timeout,
      default: 30_000,
      doc: "timeout in ms of instantiation and of initialisation, each"
    ],
    max_memory: [
      type: {:bytes, 1..0xFFFF_FFFF},
      default: 512 * 1024 * 1024,
      default_doc: "512 MiB",
      doc: "maximum memory in bytes during initialisation"
    ],
    engine: [
      type: {:or, [nil], {:struct, Wasmex.Engine}},
      default_doc: "the default engine",
      doc: "the engine whose settings and limits apply"
    ]
  ]
  @options Options.table(@rows, "Wasmex.Snapshot.take/2")

  @moduledoc """
  Code whose instances start from the state of an initialised guest, as a module or component.

  A runtime that takes milliseconds to start (Go, QuickJS, Python) starts only once. The contents of its memories and
  globals are written into the code, and instances of that code start from this state, with their memories mapped
  copy-on-write.

  ## Example

      iex> wat = ~s|(module (global $n (mut i32) (i32.const 0)) (memory 1)
      ...>   (func (export "warm") (global.set $n (i32.const 41)))
      ...>   (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))|
      iex> {:ok, snapshot} = Wasmex.Snapshot.take({:bytes, wat}, init: "warm")
      iex> {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), snapshot.bytes)
      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> Wasmex.Instance.call(instance, "next", [])
      {:ok, [42]}

  From the command line: `mix wasmex.snapshot guest.wasm -o guest.snapshot.wasm --init warm`; the result is an ordinary
  file. `use Wasmex.Component`, `Wasmex.HTTP.load/2`, `Wasmex.Plugin.compile/2` and `Wasmex.Pool.start_link/1` take
  `snapshot:` with the options of `take/2`.

  ## How it works

  A helper process (`Wasmex.Compiler`) exports all state of the code with [Wizer](https://docs.rs/wasmtime-wizer). The
  guest then runs in a store of this VM, under the limits above, like any guest. Its state is sent back to the helper,
  which writes it into the code. So untrusted bytes can do no more harm than in a compile and a call.

  ## Shared state

  Every instance starts from the same bytes. So all instances have the same:

  - **random numbers and hash seeds** that were generated before: a seeded generator returns the same numbers in each
    instance. Initialise without randomness, or export a function that reseeds it and call it first (`prepare:` of
    `Wasmex.Pool`). `uses` says whether random numbers were generated
  - **times** that were stored. Monotonic clocks begin with each store, so differences to a stored time may be negative
  - **environment and arguments** that were read
  - **files**: open descriptors do not exist in other instances. A guest with open files at the end is rejected

  `_initialize` has run and is no longer exported, since it must not run twice. `_start` cannot be part of a snapshot,
  because it ends with the program; a program needs a function that initialises it (`:init`) and one that continues
  (`:start`).

  ## Unsupported code

  Code that imports memories, tables or globals, changes tables, or has references in mutable globals; components with
  modules that are instantiated twice. The error says which.

  ## Errors

  `%Wasmex.Error{reason: :snapshot}`, those of compiling, instances and calls.
  """

  alias Wasmex.{Code, Compiler, Engine, Error, Wat}
  alias Wasmex.Snapshot.{Guest, Refusal, State}

  @enforce_keys [:bytes, :kind, :uses, :memory]
  defstruct [:bytes, :kind, :uses, :memory]

  @typedoc """
  - `:bytes`: the code
  - `:uses`: shared state that was read during initialisation: `:random`, `:clock`, `:env`, `:args`; for modules,
    `:unknown` for components
  - `:memory`: size of its memories in bytes
  """
  @type t :: %__MODULE__{
          bytes: binary(),
          kind: :module | :component,
          uses: [atom()] | :unknown,
          memory: non_neg_integer()
        }
  @type source :: Path.t() | {:bytes, binary()} | Code.t()

  @doc """
  Initialises a guest and returns code with its state.

  #{Options.Docs.table(@options)}

  Options of `Wasmex.Compiler` apply to the helper.
  """
  @spec take(source(), keyword()) :: {:ok, t()} | {:error, Exception.t()}
  def take(source, opts \\ []) do
    {compile, opts} = opts |> Options.pairs!(@options) |> Keyword.split(Compiler.Options.keys())
    opts = Options.new!(opts, @options)
    compile = Compiler.Options.new!(compile, :isolated)
    engine = Engine.resource(opts.engine)

    with {:ok, bytes} <- bytes(source),
         {:ok, wasm} <- wasm(bytes, engine),
         kind = kind(wasm),
         :ok <- startable(kind, opts),
         {:ok, instrumented} <- Compiler.rewrite(:instrument, kind, engine, wasm, compile),
         {:ok, state, uses} <- Guest.run(kind, instrumented, opts, compile),
         state_of = State.encode(wasm, init(kind, opts), opts, state),
         {:ok, code} <- Compiler.rewrite(:snapshot, kind, engine, state_of, compile) do
      memory = for {_name, :memory, bytes} <- state, do: byte_size(bytes)
      {:ok, %__MODULE__{bytes: code, kind: kind, uses: uses, memory: Enum.sum(memory)}}
    end
  end

  @doc "Like `take/2`, but raises the exception."
  @spec take!(source(), keyword()) :: t()
  def take!(source, opts \\ []) do
    case take(source, opts) do
      {:ok, snapshot} -> snapshot
      {:error, exception} -> raise exception
    end
  end

  @doc false
  # The bytes, or a snapshot of them if `snapshot:` is set.
  @spec applied(binary(), keyword() | nil) :: {:ok, binary()} | {:error, Exception.t()}
  def applied(bytes, nil), do: {:ok, bytes}

  def applied(bytes, opts) do
    with {:ok, snapshot} <- take({:bytes, bytes}, opts), do: {:ok, snapshot.bytes}
  end

  defp bytes({:bytes, bytes}) when is_binary(bytes), do: {:ok, bytes}
  defp bytes(%Code{} = code), do: Code.bytes(code)

  defp bytes(path) when is_binary(path) do
    with {:error, posix} <- File.read(path) do
      message = "can't read #{Wasmex.Printable.line(path)}: #{:file.format_error(posix)}"
      {:error, %Error{reason: :file, details: %{path: path, posix: posix, message: message}}}
    end
  end

  defp bytes(other), do: Options.misuse!("a path, {:bytes, bytes} or a Wasmex.Code", other)

  defp wasm(<<0, "asm", _::32, _::binary>> = wasm, _engine), do: {:ok, wasm}
  defp wasm(text, engine), do: Wat.parse(text, engine)

  defp kind(<<0, "asm", _version::16, 0::16, _::binary>>), do: :module
  defp kind(_component), do: :component

  # The function that Wizer removes; an unused name if there is none.
  defp init(_kind, %{init: nil}), do: "_initialize"
  defp init(_kind, %{init: init}), do: init

  defp startable(:component, %{start: start}) when start != nil,
    do: Refusal.error("start: is for programs in modules, not components")

  defp startable(_kind, %{init: "_start"}),
    do:
      Refusal.error(
        "_start can't be part of a snapshot: it ends with the program, and the guest's stack is not saved; export a function " <>
          "that initialises (init:), and one that continues (start:)"
      )

  defp startable(_kind, _opts), do: :ok
end
