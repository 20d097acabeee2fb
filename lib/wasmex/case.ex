defmodule Wasmex.Case do
  @compile {:no_warn_undefined, [ExUnit.Callbacks, ExUnit.AssertionError]}

  alias Wasmex.{Components, Engine, Error, Instance, Linker, Memory, Module, Options}
  alias Wasmex.Compiler.Loader
  alias Wasmex.{Pipe, Store, StoreOrCaller, Template}
  alias Wasmex.Program.Compiled
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @options Options.table(
             [
               path: [
                 type: {:or, [nil], :string},
                 doc: "the guest's file",
                 example: ~s|"priv/guests/g.wasm"|
               ],
               bytes: [
                 type: {:or, [nil], :string},
                 doc: "or its bytes, or text",
                 example: ~s|"(module)"|
               ],
               imports: [
                 type: Options.Type.Imports,
                 default: %{},
                 doc: "Elixir functions that the guest may call"
               ],
               wasi: [
                 type: {:or, [true, false], :any},
                 default: true,
                 doc:
                   "WASI grants, as `%Wasmex.Wasi.WasiOptions{}` or `%Wasmex.Wasi.WasiP2Options{}`"
               ],
               fuel: [
                 type: :boolean,
                 default: false,
                 doc: "whether instructions are counted, for `assert_fuel/3`"
               ]
             ],
             "use Wasmex.Case"
           )

  @moduledoc """
  Tests of guests with ExUnit: the guest is compiled once per test module, and each test has a new instance.

      defmodule GuestTest do
        use ExUnit.Case, async: true
        use Wasmex.Case, bytes: ~s|(module (memory (export "memory") 1)
          (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|

        test "adds", %{instance: instance} do
          assert call(instance, "add", [1, 2]) == {:ok, [3]}
        end

        test "does not leak", %{instance: instance} do
          assert_no_growth(instance, fn -> call(instance, "add", [1, 2]) end)
        end
      end

  #{Options.Docs.table(@options)}

  Each test gets `:instance` (of a module or a component), `:store` and `:stderr`, a pipe. The guest's standard error is
  logged after each `call/4`, and ExUnit shows the log of a failed test (`capture_log`).
  """

  require Logger

  @doc false
  defmacro __using__(opts) do
    quote do
      import Wasmex.Case
      @moduletag capture_log: true
      setup_all do: %{wasmex: Wasmex.Case.prepare(unquote(opts))}
      setup %{wasmex: prepared}, do: Wasmex.Case.start(prepared)
    end
  end

  @doc false
  @spec prepare(keyword()) :: map()
  def prepare(opts) do
    opts = Options.new!(opts, @options)
    engine = Engine.shared(if(opts.fuel, do: [consume_fuel: true], else: []))
    compile = &Compiled.compile(&1, engine, Loader.options(%{}))

    compiled =
      case opts do
        %{bytes: bytes, path: nil} when is_binary(bytes) ->
          compile.(bytes)

        %{path: path, bytes: nil} when is_binary(path) ->
          Loader.load({:path, path}, __MODULE__, Engine.resource(engine), compile)

        _ ->
          Options.misuse!("use Wasmex.Case with path: or bytes:", Options.changed(opts, @options))
      end

    compiled = ok!(compiled)
    Map.merge(opts, %{engine: engine, template: ok!(template(compiled, opts))})
  end

  defp template(%Module{} = module, opts),
    do: Linker.instantiate_pre(%Linker{imports: opts.imports, wasi: opts.wasi != false}, module)

  defp template(component, opts), do: Components.Template.new(component, opts.imports)

  @doc false
  @spec start(map()) :: map()
  def start(%{template: %Template{} = template} = prepared) do
    {:ok, stderr} = Pipe.new()
    wasi = if is_struct(prepared.wasi, WasiOptions), do: prepared.wasi, else: %WasiOptions{}
    wasi = %{wasi | stderr: wasi.stderr || stderr}

    {:ok, store} =
      if prepared.wasi == false,
        do: Store.new(nil, prepared.engine),
        else: Store.new_wasi(wasi, nil, prepared.engine)

    ExUnit.Callbacks.on_exit(fn -> Store.close(store) end)
    if prepared.fuel, do: :ok = StoreOrCaller.set_fuel(store, 0x7FFF_FFFF_FFFF_FFFF)
    started(ok!(Template.instantiate(template, store)), store, wasi.stderr)
  end

  def start(%{template: template} = prepared) do
    {:ok, stderr} = Pipe.new()
    nothing = WasiP2Options.nothing()
    wasi = if is_struct(prepared.wasi, WasiP2Options), do: prepared.wasi, else: nothing
    wasi = %{wasi | stderr: wasi.stderr || stderr}
    {:ok, store} = Components.Store.new_wasi(wasi, nil, prepared.engine)
    ExUnit.Callbacks.on_exit(fn -> Components.Store.close(store) end)
    if prepared.fuel, do: :ok = StoreOrCaller.set_fuel(handle(store), 0x7FFF_FFFF_FFFF_FFFF)
    started(ok!(Components.Template.instantiate(template, store)), store, wasi.stderr)
  end

  defp started(instance, store, stderr) do
    Process.put({__MODULE__, instance}, {store, stderr})
    %{instance: instance, store: store, stderr: stderr}
  end

  defp handle(%Components.Store{resource: resource}),
    do: StoreOrCaller.__wrap_resource__(resource)

  defp handle(store), do: store

  @doc """
  Like `Wasmex.Instance.call/4` (for a component `Wasmex.Components.Instance.call/4`); the guest's standard error is
  logged.
  """
  @spec call(Instance.t() | Components.Instance.t(), term(), [term()], keyword()) ::
          {:ok, term()} | {:error, Exception.t()}
  def call(instance, name, params \\ [], opts \\ [])

  def call(%Instance{} = instance, name, params, opts),
    do: logged(instance, Instance.call(instance, name, params, opts))

  def call(%Components.Instance{} = instance, path, params, opts),
    do: logged(instance, Components.Instance.call(instance, path, params, opts))

  defp logged(instance, result) do
    with {_store, %Pipe{} = stderr} <- Process.get({__MODULE__, instance}) do
      at = Process.get({__MODULE__, stderr}, 0)
      Pipe.seek(stderr, at)
      text = Pipe.read(stderr)
      Process.put({__MODULE__, stderr}, at + byte_size(text))

      if text != "",
        do: Logger.warning("standard error of the guest: " <> Wasmex.Printable.text(text))
    end

    result
  end

  @doc """
  Asserts that the function makes the guest execute at most about this many instructions, and returns its result. Needs
  `fuel: true`.
  """
  @spec assert_fuel(struct(), non_neg_integer(), (() -> result)) :: result when result: term()
  def assert_fuel(instance, most, function) do
    store = store!(instance)
    {:ok, before} = fuel!(StoreOrCaller.get_fuel(store))
    result = function.()
    {:ok, left} = StoreOrCaller.get_fuel(store)
    used = before - left
    if used > most, do: flunk("the guest used #{used} fuel, more than #{most}")
    result
  end

  defp fuel!({:error, _}),
    do: raise(ArgumentError, "assert_fuel/3 needs `use Wasmex.Case, fuel: true`")

  defp fuel!(fuel), do: fuel

  # Warms up caches and one-time initialisation.
  @rounds 20

  @doc """
  Asserts that the guest's memory does not grow during repeated calls of the function: #{@rounds} calls to warm up, then
  as many again. Modules only.
  """
  @spec assert_no_growth(Instance.t(), (() -> term())) :: :ok
  def assert_no_growth(%Instance{} = instance, function) do
    memory = instance |> store!() |> Memory.from_instance(instance) |> ok!()
    for _ <- 1..@rounds, do: function.()
    {:ok, before} = Memory.size(memory)
    for _ <- 1..@rounds, do: function.()
    {:ok, size} = Memory.size(memory)

    if size > before,
      do: flunk("the guest's memory grew from #{before} to #{size} bytes in #{@rounds} calls")

    :ok
  end

  defp store!(instance) do
    case Process.get({__MODULE__, instance}) do
      {store, _stderr} ->
        handle(store)

      nil ->
        raise ArgumentError, "expected the :instance of the test's context, in the test's process"
    end
  end

  defp ok!({:ok, value}), do: value
  defp ok!({:error, %{__exception__: true} = error}), do: raise(error)

  defp ok!({:error, text}),
    do: raise(Error, reason: :guest, details: %{message: to_string(text)})

  @spec flunk(String.t()) :: no_return()
  defp flunk(message), do: raise(ExUnit.AssertionError.exception(message: message))
end
