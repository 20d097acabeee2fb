defmodule Wasmex.Guest do
  @moduledoc "Instances for tests, from WAT or from the committed guests."

  alias Wasmex.{Instance, Module, Pipe, Store}
  alias Wasmex.Wasi.WasiOptions

  @doc "The bytes of test/guests/name/name.wasm."
  def bytes(name), do: File.read!("test/guests/#{name}/#{name}.wasm")

  @doc "A store and an instance in it."
  def start(bytes, imports \\ %{}, store \\ nil) do
    store = store || elem(Store.new(), 1)
    {:ok, module} = Module.compile(store, bytes)
    {:ok, instance} = Instance.new(store, module, imports)
    {store, instance}
  end

  @doc "A WASI program run to its end: what `_start` returned and what it printed to either stream."
  def run(name, options \\ []) do
    {:ok, stdout} = Pipe.new()
    {:ok, stderr} = Pipe.new()
    options = struct!(WasiOptions, [stdout: stdout, stderr: stderr] ++ options)
    {:ok, store} = Store.new_wasi(options)
    {_store, instance} = start(bytes(name), %{}, store)
    result = Instance.call(instance, "_start", [])
    {result, text(options.stdout), text(options.stderr)}
  end

  @doc "All that a buffer holds."
  def text(pipe) do
    Pipe.seek(pipe, 0)
    Pipe.read(pipe)
  end

  @doc "A buffer that holds this, ready to be read."
  def input(text) do
    {:ok, pipe} = Pipe.new()
    {:ok, _} = Pipe.write(pipe, text)
    Pipe.seek(pipe, 0)
    pipe
  end

  @doc "The bytes with one bit changed."
  def flip(bytes, bit) do
    {head, <<byte, tail::binary>>} = :erlang.split_binary(bytes, div(bit, 8))
    <<head::binary, Bitwise.bxor(byte, Bitwise.bsl(1, rem(bit, 8))), tail::binary>>
  end

  @doc "Waits until the function returns something else than false. Fails after five minutes: with `--trace` a test has no other end."
  def wait_until(fun, last \\ System.monotonic_time(:second) + 300) do
    cond do
      value = fun.() ->
        value

      System.monotonic_time(:second) > last ->
        ExUnit.Assertions.flunk("waited for five minutes")

      true ->
        Process.sleep(2)
        wait_until(fun, last)
    end
  end

  @doc "A process that makes this call, once its guest runs; it dies with the test."
  def busy(instance, name, params \\ []) do
    pid = spawn_link(fn -> Instance.call(instance, name, params) end)
    wait_until(fn -> driver(instance) == pid end)
    pid
  end

  @doc "The process whose call is under way in the instance's store."
  def driver(instance),
    do: Wasmex.Native.store_driver(Wasmex.Native.instance_store(instance.resource))

  @doc "Runs the function in a process, waits until `running?` says of it that it runs, and kills it."
  def kill_while(function, running?) do
    pid = spawn_link(function)
    wait_until(fn -> running?.(pid) end)
    kill(pid)
  end

  @doc "Kills a process that is linked to this one, and waits until it is gone."
  def kill(pid) do
    Process.unlink(pid)
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
  end

  @doc "The instance alone, in this store."
  def instance(store, wat, imports \\ %{}), do: wat |> start(imports, store) |> elem(1)

  @doc "The same of a component."
  def component(store, wat, imports \\ %{}) do
    {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), wat)
    {:ok, instance} = Wasmex.Components.Instance.instantiate(store, component, imports)
    instance
  end
end
