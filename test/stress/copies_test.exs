defmodule Wasmex.Stress.CopiesTest do
  # What is copied in large amounts, or done for many, and must not hold a scheduler.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{ComponentGuests, Components, Instance, Module, Pipe, Plugin, Store}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  import Wasmex.Held

  @mib 1024 * 1024
  @size 200 * @mib
  @many 100_000
  @all "18446744073709551615"

  defp run(args, opts \\ []) do
    {:ok, stdout} = Pipe.new()

    options =
      struct!(
        WasiP2Options,
        [stdout: stdout, args: ["large" | Enum.map(args, &to_string/1)]] ++ opts
      )

    {:ok, store} = Components.Store.new_wasi(options)
    component = ComponentGuests.component("large")
    {:ok, instance} = Components.Instance.instantiate(store, component, %{})
    run = {"wasi:cli/run@0.2.0", "run"}
    {:ok, _} = Components.Instance.call(instance, run, [], timeout: :infinity)
  end

  test "the body of a request to a function, and of its response" do
    opts = [http_max_request: :infinity, http_max_response: :infinity, allow_http: true]
    body = :binary.copy("x", @size)

    assert_not_held(fn ->
      me = self()

      function = fn request ->
        send(me, {:size, byte_size(request.body)})
        {:ok, %{status: 200}}
      end

      run(["post", "any.where", @size, 1], [http: function] ++ opts)
      assert_received {:size, @size}
    end)

    assert_not_held(fn ->
      response = fn _ -> {:ok, %{status: 200, body: body}} end
      run(["post", "any.where", 0, @all], [http: response] ++ opts)
    end)
  end

  @tag :tmp_dir
  test "200 MiB written to a file by a component in one call", %{tmp_dir: dir} do
    assert_not_held(fn ->
      run(["write", "/d/f", @size], preopen: [%PreopenOptions{path: dir, alias: "/d"}])
    end)
  end

  test "200 MiB of random bytes" do
    assert_not_held(fn -> run(["random", @size]) end)

    wat = """
    (module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 3201)
      (func (export "random") (param i32) (result i32) (call $random (i32.const 0) (local.get 0))))
    """

    {:ok, store} = Store.new_wasi(%WasiOptions{})
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})
    assert_not_held(fn -> {:ok, [0]} = Instance.call(instance, "random", [@size]) end)
  end

  test "closing a store that 100,000 processes wait for" do
    assert_not_held(fn ->
      {call, store} = waited_for(fn store -> Task.await(Task.async(Store, :close, [store])) end)
      # The store is closed when this call leaves it.
      {:ok, []} = call.()
      {:error, _} = Wasmex.Memory.new(store, 1)
    end)
  end

  # A call, in whose import many processes begin to wait for its store, before the function is called.
  defp waited_for(function) do
    wat = ~s|(module (import "env" "wait" (func $wait)) (func (export "f") (call $wait)))|
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)

    wait =
      {:fn, [], [],
       fn context ->
         other = fn -> Instance.call(context.instance, "f", [], timeout: 600_000) end
         waiting = for _ <- 1..@many, do: spawn(other)
         asleep(waiting)
         function.(store)
         nil
       end}

    {:ok, instance} = Instance.new(store, module, %{env: %{wait: wait}})
    {fn -> Instance.call(instance, "f", [], timeout: :infinity) end, store}
  end

  test "100,000 processes that wait for a pipe" do
    {:ok, pipe} = Pipe.new(mode: :stream)
    read = fn -> Pipe.recv(pipe) end

    assert_not_held(fn ->
      waiting = for _ <- 1..@many, do: spawn(read)
      asleep(waiting)
      {:ok, 1} = Pipe.write(pipe, "x")
      # All but one wait again.
      Process.sleep(3_000)
      asleep(waiting)
      for pid <- waiting, do: Process.exit(pid, :kill)
      gone(waiting)
      {:error, _timeout} = Pipe.recv(pipe, 10)
    end)
  end

  test "a large configuration of a plug-in" do
    config = Map.new(1..200_000, &{"key-#{&1}", String.duplicate("x", 50)})
    wat = ~s|(module (func (export "f") (result i32) (i32.const 0)))|
    {:ok, compiled} = Plugin.compile(wat, config: config)

    assert_not_held(fn ->
      {:ok, plugin} = Plugin.new(compiled)
      :ok = Plugin.put_config(plugin, config)
    end)
  end

  # Asking each of them would take a time slice of every other process.
  defp asleep(pids) do
    asleep? = &(Process.info(&1, :status) in [{:status, :waiting}, nil])

    unless pids |> Enum.take_every(1_000) |> Enum.all?(asleep?) do
      Process.sleep(100)
      asleep(pids)
    end
  end

  defp gone(pids) do
    refs = for pid <- pids, do: Process.monitor(pid)

    for ref <- refs do
      receive do: ({:DOWN, ^ref, :process, _, _} -> :ok)
    end
  end
end
