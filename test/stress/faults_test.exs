defmodule Wasmex.Stress.FaultsTest do
  use ExUnit.Case, async: false

  # What the system refuses, and a VM that goes down; most of it in a VM of its own.
  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{ChildVM, Engine, Instance, Module, Store}

  @guest """
  wat = ~s|(module (memory (export "memory") 1)
    (func (export "spin") (loop br 0)) (func (export "one") (result i32) i32.const 1))|
  {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), wat)
  instance = fn ->
    with {:ok, store} <- Wasmex.Store.new(),
         do: Wasmex.Instance.instantiate(store, module, %{})
  end
  """

  test "a VM with guests under way stops at once" do
    {output, 0} =
      ChildVM.run("""
      #{@guest}
      nap = ~s|(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $p (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 60000000000))
          (drop (call $p (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))|
      for _ <- 1..8, do: spawn(fn -> {:ok, i} = instance.(); Wasmex.Instance.call(i, "spin", []) end)
      for _ <- 1..200, do: spawn(fn -> Wasmex.run(nap) end)
      Process.sleep(1_000)
      File.write!("/proc/self/comm", "stopping")
      IO.puts("stopping \#{System.os_time(:millisecond)}")
      System.stop(0)
      Process.sleep(:infinity)
      """)

    stopped = System.os_time(:millisecond)
    [_, at] = Regex.run(~r/stopping (\d+)/, output)
    took = stopped - String.to_integer(at)
    # One that waits for its guests takes for ever, which the status tells.
    IO.puts("the VM with 208 guests under way stopped in #{took} ms")
  end

  if ChildVM.sanitized?(),
    do: @tag(skip: "AddressSanitizer itself takes more addresses than that")

  test "no addresses left" do
    # A memory reserves 4 GiB of them by default.
    {output, status} =
      ChildVM.run(
        """
        #{@guest}
        made = for _ <- 1..50, do: instance.()
        failed = for {:error, error} <- made, do: Exception.message(error)
        IO.inspect(failed |> Enum.uniq() |> Enum.take(2))
        {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{density: true})
        {:ok, module} = Wasmex.Module.compile(engine, wat)
        {:ok, store} = Wasmex.Store.new(nil, engine)
        {:ok, small} = Wasmex.Instance.instantiate(store, module, %{})
        {:ok, [1]} = Wasmex.Instance.call(small, "one", [])
        IO.puts("survived, \#{length(failed)} refused")
        """,
        "ulimit -v 12000000"
      )

    assert {status, output} == {0, output}
    assert [_, refused] = Regex.run(~r/survived, (\d+) refused/, output)
    assert String.to_integer(refused) > 0
  end

  test "a WIT of more names than there is room for atoms" do
    {output, status} =
      ChildVM.run(
        """
        path = Path.join(System.tmp_dir!(), "names-\#{System.unique_integer([:positive])}.wit")
        names = Enum.map_join(1..25_000, ", ", &"never-seen-\#{&1}")
        File.write!(path, "package a:b; world w { enum e { \#{names} } export f: func(a: e); }")

        try do
          Code.eval_string("defmodule Many do use Wasmex.Component, wit: \#{inspect(path)} end")
        rescue
          error in CompileError -> IO.puts(Exception.message(error))
        end

        File.rm!(path)
        half = div(:erlang.system_info(:atom_limit), 2)
        IO.puts("survived \#{:erlang.system_info(:atom_count) in half..(half + 2_000)}")
        """,
        "export ELIXIR_ERL_OPTIONS='+t 65536'"
      )

    assert {status, output} == {0, output}
    assert output =~ "half of the VM's limit"
    assert output =~ "survived true"
  end

  test "no file descriptors left" do
    {output, status} =
      ChildVM.run(
        """
        #{@guest}
        {:ok, first} = instance.()
        options = %Wasmex.Wasi.WasiOptions{preopen: [%Wasmex.Wasi.PreopenOptions{path: "/tmp"}]}
        stores = for _ <- 1..200, do: Wasmex.Store.new_wasi(options)
        refused = for {:error, text} <- stores, do: text
        IO.inspect(Enum.uniq(refused))
        {:ok, [1]} = Wasmex.Instance.call(first, "one", [])
        for {:ok, store} <- stores, do: Wasmex.Store.close(store)
        {:ok, _} = Wasmex.Store.new_wasi(options)
        IO.puts("survived, \#{length(refused)} refused")
        """,
        "ulimit -n 120"
      )

    assert {status, output} == {0, output}
    assert output =~ "Too many open files"
    assert [_, refused] = Regex.run(~r/survived, (\d+) refused/, output)
    assert String.to_integer(refused) > 0
  end

  # Root may have as many threads as it wants: another user, who may read what root may.
  @nobody "env HOME=/tmp setpriv --reuid 54321 --clear-groups --inh-caps=-all,+dac_override " <>
            "--ambient-caps=-all,+dac_override"

  test "no threads left, and then there are" do
    wat = ~s|(module (memory (export "memory") 1) (func (export "one") (result i32) i32.const 1))|
    {:ok, module} = Module.compile(Engine.default(), wat)
    {:ok, artefact} = Module.serialize(module)
    runner = if match?({"0\n", 0}, System.cmd("id", ["-u"])), do: @nobody, else: ""

    {output, status} =
      ChildVM.run(
        """
        alias Wasmex.{Engine, Instance, Module, Store}
        limit = fn n -> ["--pid", System.pid(), "--nproc=\#{n}:"] end
        # Waits for a line, and needs no process more to raise the limit again.
        later = "read line && exec prlimit \#{Enum.join(limit.(1000), " ")}"
        port = Port.open({:spawn_executable, "/bin/sh"}, [:exit_status, args: ["-c", later]])
        {_, 0} = System.cmd("prlimit", limit.(1))

        wat = #{inspect(wat)}
        {:ok, module} = Module.deserialize(#{inspect(artefact, limit: :infinity, printable_limit: :infinity)})
        run = fn ->
          with {:ok, store} <- Store.new(),
               {:ok, instance} <- Instance.instantiate(store, module, %{}),
               do: Instance.call(instance, "one", [])
        end
        all = [
          fn -> Module.compile(Engine.default(), wat) end,
          fn -> Store.new_wasi(%Wasmex.Wasi.WasiOptions{}) end,
          run
        ]
        for _ <- 1..3, function <- all do
          {:error, error} = function.()
          IO.puts(if is_binary(error), do: error, else: Exception.message(error))
        end

        Port.command(port, "now\n")
        receive do {^port, {:exit_status, 0}} -> :ok end
        for function <- all, do: {:ok, _} = function.()
        IO.puts("survived")
        """,
        "true",
        runner
      )

    assert {status, output} == {0, output}
    assert output =~ "survived"
    assert output =~ "refused a thread for parsing"
    assert output =~ "refused a thread for I/O"
    assert output =~ "no thread left for the epoch ticker"
  end

  test "memory limits end the guest, not the VM" do
    {output, status} =
      ChildVM.run("""
      wat = ~s|(module (memory (export "memory") 1)
        (func (export "eat") (loop (br_if 0 (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) unreachable))|
      {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), wat)
      for _ <- 1..200 do
        {:ok, store} = Wasmex.Store.new(%Wasmex.StoreLimits{memory_size: 64_000_000})
        {:ok, instance} = Wasmex.Instance.instantiate(store, module, %{})
        {:error, %Wasmex.Trap{}} = Wasmex.Instance.call(instance, "eat", [])
      end
      IO.puts("survived")
      """)

    assert {status, output} == {0, output}
    assert output =~ "survived"
  end

  test "an artefact with any bit flipped is refused, and any part of one" do
    for bytes <- [~s|(module (func (export "f")))|, ~s|(component)|] do
      make = if bytes == "(component)", do: Wasmex.Components.Component, else: Module
      {:ok, compiled} = make.compile(Engine.default(), bytes)
      {:ok, artefact} = make.serialize(compiled)
      refused = fn altered -> match?({:error, _}, make.deserialize(altered, Engine.default())) end

      all =
        Task.async_stream(
          0..(byte_size(artefact) - 1),
          fn at ->
            refused.(binary_part(artefact, 0, at)) and
              Enum.all?(0..7, &refused.(Wasmex.Guest.flip(artefact, 8 * at + &1)))
          end,
          timeout: :infinity
        )

      assert Enum.all?(all, &(&1 == {:ok, true}))
      IO.puts("#{9 * byte_size(artefact)} alterations of an artefact were refused")
    end
  end

  test "the library's modules are loaded anew while guests run" do
    wat =
      ~s|(module (import "e" "f" (func $f (param i32) (result i32))) (func (export "g") (param i32) (result i32) local.get 0 call $f))|

    {:ok, module} = Module.compile(Engine.default(), wat)
    imports = %{e: %{f: {:fn, [:i32], [:i32], fn _, n -> n + 1 end}}}

    tasks =
      for _ <- 1..4 do
        Task.async(fn ->
          {:ok, store} = Store.new()
          {:ok, instance} = Instance.new(store, module, imports)
          loop(instance, 0)
        end)
      end

    {:ok, modules} = :application.get_key(:wasmex, :modules)

    for _ <- 1..3, module <- modules -- [Wasmex.Native] do
      :code.soft_purge(module)
      assert {:module, ^module} = :code.load_file(module)
    end

    # The library itself stays as it is: it knows no upgrade.
    :code.soft_purge(Wasmex.Native)
    assert {:error, _} = :code.load_file(Wasmex.Native)

    for task <- tasks, do: send(task.pid, :stop)
    for calls <- Task.await_many(tasks, 60_000), do: assert(calls > 0)
  end

  defp loop(instance, calls) do
    {:ok, [42]} = Instance.call(instance, "g", [41])

    receive do
      :stop -> calls
    after
      0 -> loop(instance, calls + 1)
    end
  end
end
