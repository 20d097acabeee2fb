defmodule Wasmex.Model.Workers do
  @moduledoc "The processes and stores that `Wasmex.Model.Calls` is a model of."

  alias Wasmex.{Engine, Global, Instance, Module, Store}

  @wat """
  (module
    (import "e" "f" (func $f))
    (global $count (export "count") (mut i32) (i32.const 0))
    (func (export "hold") (result i32) (call $f) (global.get $count))
    (func (export "bump") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (global.get $count))
    (func (export "spin") (loop br 0)))
  """

  # Ms that a call of `spin` may take, and that everything may take to come to rest: less once something went wrong, when
  # the commands are made fewer.
  @spin 10
  @patience 10_000
  @hurry 1_000

  @doc "Stores and workers of these numbers."
  def start(stores, workers) do
    :ets.new(__MODULE__, [:named_table, :public])
    for store <- stores, do: open(store)
    for worker <- workers, do: hire(worker)
    :ok
  end

  @doc "Ends all, and waits until the workers are gone."
  def stop do
    for {{:worker, number}, _, _, _, _} <- :ets.tab2list(__MODULE__), do: fire(number)
    for {{:store, _}, store, _, _} <- :ets.tab2list(__MODULE__), do: Store.close(store)
    :ets.delete(__MODULE__)
    :ok
  end

  @doc "Does what a command says; what comes of it is for `settle/1` to see."
  def act({:enter, worker, store, kind}), do: tell(worker, {:call, store, kind})
  def act({what, worker}) when what in [:return, :raise], do: tell(worker, what)

  def act({:kill, worker}) do
    fire(worker)
    hire(worker)
  end

  def act({:close, number}) do
    [{_, store, _, _}] = :ets.lookup(__MODULE__, {:store, number})
    Store.close(store)
  end

  def act({:open, number}), do: open(number)

  @doc "Waits until all workers are where they should be; false when they don't get there."
  def settle(expected) do
    patience = Process.get(__MODULE__, @patience)
    settle(expected, System.monotonic_time(:millisecond) + patience)
  end

  defp settle(expected, deadline) do
    now =
      for {{:worker, number}, pid, depth, busy?, results} <- :ets.tab2list(__MODULE__),
          into: %{},
          do: {number, {depth, busy? and waits?(pid), results}}

    cond do
      now == expected ->
        true

      System.monotonic_time(:millisecond) > deadline ->
        Process.put(__MODULE__, @hurry)
        IO.puts("expected #{inspect(expected)}\nfound    #{inspect(now)}")
        false

      true ->
        :erlang.yield()
        settle(expected, deadline)
    end
  end

  # Its place in the queue is taken then.
  defp waits?(pid) do
    if Process.info(pid, :current_function) == {:current_function, {Wasmex.Call.Turn, :wait, 3}},
      do: true,
      else: :soon
  end

  defp open(number) do
    {:ok, module} = module()
    {:ok, store} = Store.new()
    imports = %{e: %{f: {:fn, [], [], fn _context -> serve() end}}}
    {:ok, instance} = Instance.new(store, module, imports)
    {:ok, global} = Instance.export(instance, :global, "count")
    :ets.insert(__MODULE__, {{:store, number}, store, instance, global})
    :ok
  end

  defp module do
    Wasmex.Cache.remember(__MODULE__, fn ->
      Module.make(Engine.resource(Engine.default()), @wat)
    end)
  end

  defp hire(number) do
    pid =
      spawn(fn ->
        Process.put(:number, number)
        Process.put(:depth, -1)
        receive do: (:begin -> serve())
      end)

    :ets.insert(__MODULE__, {{:worker, number}, pid, 0, false, []})
    send(pid, :begin)
    :ok
  end

  defp fire(number) do
    pid = :ets.lookup_element(__MODULE__, {:worker, number}, 2)
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
  end

  defp tell(worker, message) do
    # From here on it is not where it was.
    :ets.update_element(__MODULE__, {:worker, worker}, {4, true})
    send(:ets.lookup_element(__MODULE__, {:worker, worker}, 2), message)
    :ok
  end

  # A worker's life, and that of each imported function within it.
  defp serve do
    Process.put(:depth, Process.get(:depth) + 1)
    publish(false)
    obey()
  end

  defp obey do
    receive do
      {:call, store, kind} ->
        publish(true)
        result = call(store, kind)
        [{_, _, _, _, results}] = :ets.lookup(__MODULE__, {:worker, Process.get(:number)})
        publish(false, [result | results])
        obey()

      :return ->
        Process.put(:depth, Process.get(:depth) - 1)
        nil

      :raise ->
        Process.put(:depth, Process.get(:depth) - 1)
        raise "as it was told"
    end
  end

  defp publish(busy?) do
    key = {:worker, Process.get(:number)}
    :ets.update_element(__MODULE__, key, [{3, Process.get(:depth)}, {4, busy?}])
  end

  defp publish(busy?, results) do
    key = {:worker, Process.get(:number)}
    :ets.update_element(__MODULE__, key, [{3, Process.get(:depth)}, {4, busy?}, {5, results}])
  end

  defp call(number, kind) do
    [{_, _store, instance, global}] = :ets.lookup(__MODULE__, {:store, number})

    case run(kind, instance, global) do
      {:ok, [count]} -> {:ok, count}
      {:ok, count} -> {:ok, count}
      {:error, %{reason: reason}} -> {:error, reason}
      {:error, other} -> {:error, other}
    end
  end

  defp run(:peek, _instance, global), do: Global.get(global)
  defp run(:spin, instance, _global), do: Instance.call(instance, "spin", [], timeout: @spin)
  defp run(kind, instance, _global), do: Instance.call(instance, Atom.to_string(kind), [])
end
