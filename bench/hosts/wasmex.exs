# Wasmex's figures for bench/peers: each work, a tab and its figure. Hosts of other projects also print their `version`.
Code.require_file("measure.exs", __DIR__)

defmodule Bench.Hosts.Wasmex do
  import Bench.Hosts.Measure
  alias Wasmex.{Engine, Instance, Linker, Memory, Module, Store, Template}

  def run do
    {:ok, module} = Module.compile(Engine.default(), File.read!(System.fetch_env!("GUEST")))
    linker = Linker.define(Linker.new(), "env", %{id: {:fn, [:i32], [:i32], &id/2}})
    {:ok, template} = Linker.instantiate_pre(linker, module)

    # First: later instances would use what earlier ones have left.
    put("memory", each_kib(fn -> start(template) end))
    {store, instance} = start(template)
    {:ok, memory} = Memory.from_instance(store, instance)
    put("add", measure(fn -> {:ok, [42]} = Instance.call(instance, "add", [40, 2]) end))
    put("import", measure(fn -> Instance.call!(instance, "imports", [1000]) end) / 1000)

    for {work, size} <- sizes() do
      text = String.duplicate("abcdefgh", div(size, 8))
      put(work, measure(fn -> ^size = byte_size(echo(store, instance, memory, text)) end))
    end

    put("instance", measure(fn -> template |> start() |> elem(0) |> Store.close() end))
    put("program", program())
    put("compute", compute())
  end

  defp id(_context, n), do: n

  defp start(template) do
    {:ok, store} = Store.new()
    {:ok, instance} = Template.instantiate(template, store)
    {:ok, [42]} = Instance.call(instance, "add", [40, 2])
    {store, instance}
  end

  defp echo(store, instance, memory, text) do
    :ok = Memory.write_binary(store, memory, 0, text)
    {:ok, [address]} = Instance.call(instance, "echo", [byte_size(text)])
    Memory.read_binary(store, memory, address, byte_size(text))
  end

  defp program do
    {:ok, module} = Module.compile(Engine.default(), File.read!(System.fetch_env!("PROGRAM")))
    text = input()
    expected = String.upcase(text)

    measure(fn ->
      {:ok, %{status: 0, stdout: ^expected}} = Wasmex.run(module, ["upcase"], stdin: text)
    end)
  end

  defp compute do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, File.read!(System.fetch_env!("COMPUTE")))
    {:ok, instance} = Instance.new(store, module, %{})
    rounds = rounds()
    once(fn -> {:ok, [_]} = Instance.call(instance, "sha256_loop", [rounds]) end)
  end
end

Bench.Hosts.Wasmex.run()
