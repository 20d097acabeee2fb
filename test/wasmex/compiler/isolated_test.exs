defmodule Wasmex.Compiler.IsolatedTest do
  # Counts the helpers of the whole VM, and points the VM at others.
  use ExUnit.Case, async: false

  import Wasmex.HostileBytes

  alias Wasmex.{Compiler, Components, Engine, EngineConfig, Error, Instance, Module, Store}
  alias Wasmex.Components.Component

  @rust File.read!("test/guests/programs/rust/program.wasm")
  @add ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|

  # As `Module.compile/3`, with the exception.
  defp compile(code, opts \\ []) do
    options = Compiler.Options.new!([compile: :isolated] ++ opts)
    Module.make(Engine.resource(nil), code, options)
  end

  # The same of what the scan would refuse: whatever passes it may be as bad.
  defp compile_unscanned(code, opts \\ []) do
    options = Compiler.Options.new!([compile: :isolated] ++ opts)
    Module.make(Engine.resource(engine_without_limits()), code, options)
  end

  defp helpers, do: DynamicSupervisor.count_children(Compiler.Helpers).active

  defp wait(until, tries \\ 500) do
    cond do
      until.() -> :ok
      tries == 0 -> flunk("it did not come to this")
      true -> Process.sleep(10) && wait(until, tries - 1)
    end
  end

  defp idle, do: wait(fn -> Compiler.info() == %{running: 0, waiting: 0} and helpers() == 0 end)

  # The system's number of the helper that works, and whether it is there.
  defp os_pid do
    wait(fn -> helpers() > 0 end)
    [{_, helper, _, _} | _] = DynamicSupervisor.which_children(Compiler.Helpers)
    port = :sys.get_state(helper).port
    {:os_pid, pid} = Port.info(port, :os_pid)
    pid
  end

  defp alive?(pid), do: File.exists?("/proc/#{pid}/stat")

  describe "compiled code" do
    test "does what it does when compiled in the VM, of bytes and of text" do
      {:ok, wasm} = Wasmex.Wat.to_wasm(@add)

      for code <- [@add, wasm], where <- [:isolated, :in_process] do
        {:ok, store} = Store.new()
        {:ok, module} = Module.compile(store, code, compile: where)
        {:ok, instance} = Instance.new(store, module, %{})
        assert Instance.call(instance, "add", [40, 2]) == {:ok, [42]}
      end
    end

    test "is the same artefact, whatever the engine's settings" do
      for config <- [
            %EngineConfig{},
            %EngineConfig{cranelift_opt_level: :speed_and_size, consume_fuel: true},
            %EngineConfig{density: true},
            %EngineConfig{pooling: 10, pooling_memory_size: 65_536 * 32},
            %EngineConfig{debug_info: true, wasm_backtrace_details: true},
            %EngineConfig{simd: false, gc: false, nan_canonicalization: true},
            %EngineConfig{memory64: true, wide_arithmetic: true, threads: false}
          ] do
        {:ok, engine} = Engine.new(config)
        {:ok, here} = Engine.precompile_module(engine, @add)
        assert {:ok, ^here} = Engine.precompile_module(engine, @add, compile: :isolated)
        assert {:ok, _} = Module.compile(engine, @add, compile: :isolated)
      end
    end

    test "is a component too" do
      wat =
        ~s|(component (core module $m (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
        (core instance $i (instantiate $m))
        (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))|

      {:ok, pid} = Components.start_link(bytes: wat, compile: :isolated)
      assert Components.call_function(pid, "add", [40, 2]) == {:ok, 42}

      engine = Engine.default()
      {:ok, here} = Engine.precompile_component(engine, wat)
      assert {:ok, ^here} = Engine.precompile_component(engine, wat, compile: :isolated)
      assert {:ok, _} = Component.deserialize(here, engine)
    end

    test "runs as a program, a server and a function" do
      assert {:ok, %{status: 0}} =
               Wasmex.run(~s|(module (func (export "_start")))|, [], compile: :isolated)

      {:ok, pid} = Wasmex.start_link(%{bytes: @add, compile: :isolated, compile_timeout: 10_000})
      assert Wasmex.call_function(pid, :add, [1, 2]) == {:ok, [3]}
    end
  end

  describe "an error" do
    test "is the same as that of a compile in the VM" do
      for code <- [
            <<0, "asm", 1, 0, 0, 0, 1>>,
            "(module (func (result i32)))",
            "(modul",
            "(component)",
            <<0, "asm", 13, 0, 1, 0>>,
            <<0xFF, 0xFE>>,
            ""
          ] do
        assert {:error, here} = Module.make(Engine.resource(nil), code)
        assert {:error, there} = compile(code)
        assert there == here
      end

      assert {:error, %Error{reason: :module}} =
               Component.compile(Engine.default(), "(module)", compile: :isolated)
    end

    test "names the limit of time and its option" do
      assert {:error, %Error{reason: :compile_timeout, details: %{limit: 200}} = error} =
               compile_unscanned(endless_compile(), compile_timeout: 200)

      assert Exception.message(error) =~ "200 ms (compile_timeout)"
      idle()
    end

    test "names the limit of memory and its option" do
      memory = 800 * 1024 * 1024

      assert {:error, %Error{reason: :compile_memory, details: %{limit: ^memory}} = error} =
               compile_unscanned(table_bomb(100), compile_memory: memory)

      assert Exception.message(error) =~ "(compile_memory)"

      # Longer than the memory that is to hold it.
      long = "(module)" <> :binary.copy(" ", 64 * 1024 * 1024)

      assert {:error, %Error{reason: :compile_memory}} =
               compile_unscanned(long, compile_memory: 64 * 1024 * 1024)

      idle()
    end

    test "is what comes of code that grows beyond all measure" do
      assert {:error, %Error{reason: :compile_memory} = error} = compile_unscanned(table_bomb(20))
      assert Exception.message(error) =~ "the artefact is larger than 67108864 bytes"
      idle()
    end

    test "of the scan is the same too" do
      for code <- [
            nested_types(100),
            nested_types(100, 0x42),
            table_bomb(100),
            <<0, "asm", 13, 0, 1, 0, 7>>
          ] do
        kind = if match?(<<0, "asm", 1, _::binary>>, code), do: Module, else: Component
        engine = Engine.resource(nil)

        [here, there] =
          for where <- [:in_process, :isolated] do
            options = Compiler.Options.new!(compile: where)

            if kind == Module,
              do: Module.make(engine, code, options),
              else: Component.make(engine, code, %{}, options)
          end

        assert {:error, %Error{reason: reason}} = here
        assert reason in [:nested_too_deep, :too_large, :parse]
        assert there == here
      end

      assert {:error, %Error{reason: :too_large, details: %{limit: :text_size}}} =
               compile("(module)" <> :binary.copy(" ", 17 * 1024 * 1024))
    end

    test "is raised for options that make no sense" do
      for opts <- [
            [compile: :elsewhere],
            [compile: :isolated, compile_timeout: 0],
            [compile: :isolated, compile_memory: 1_000],
            [compile: :in_process, compile_timeout: 1_000],
            [compile: :in_process, compile_reuse: :me]
          ] do
        assert_raise ArgumentError, fn -> Module.compile(Engine.default(), "(module)", opts) end
        assert_raise ArgumentError, fn -> Wasmex.start_link([bytes: "(module)"] ++ opts) end
        assert_raise ArgumentError, fn -> Wasmex.run("(module)", [], opts) end
      end

      assert_raise ArgumentError, ~r/compile_timeout/, fn ->
        Wasmex.HTTP.load("(module)", compile: :in_process, compile_timeout: 1)
      end
    end
  end

  describe "a killed caller" do
    test "takes the helper along while it compiles" do
      before = Wasmex.live_objects()[:child]
      owner = spawn(fn -> compile_unscanned(endless_compile(), compile_timeout: :infinity) end)
      pid = os_pid()
      wait(fn -> rss(pid) > 30_000 end)
      Process.exit(owner, :kill)
      wait(fn -> not alive?(pid) end)
      idle()
      wait(fn -> Wasmex.live_objects()[:child] <= before end)
    end

    test "leaves the queue while it waits, and others get their turn" do
      most = Compiler.Queue.most(:compilers)
      busy = for _ <- 1..most, do: spawn(fn -> compile_unscanned(endless_compile()) end)
      wait(fn -> Compiler.info().running == most end)
      waiting = for _ <- 1..3, do: spawn(fn -> compile("(module)") end)
      wait(fn -> Compiler.info().waiting == 3 end)

      task = Task.async(fn -> compile("(module)") end)
      wait(fn -> Compiler.info().waiting == 4 end)
      for pid <- waiting, do: Process.exit(pid, :kill)
      wait(fn -> Compiler.info().waiting == 1 end)
      for pid <- busy, do: Process.exit(pid, :kill)
      assert {:ok, %Module{}} = Task.await(task, 60_000)
      idle()
    end

    test "a queue that is full says so" do
      with_env(:compile_queue, 2, fn ->
        with_env(:compilers, 1, fn ->
          busy = spawn(fn -> compile_unscanned(endless_compile()) end)
          wait(fn -> Compiler.info().running == 1 end)
          waiting = for _ <- 1..2, do: spawn(fn -> compile("(module)") end)
          wait(fn -> Compiler.info().waiting == 2 end)

          assert {:error, %Error{reason: :compile_queue_full, details: %{limit: 2}}} =
                   compile("(module)")

          for pid <- [busy | waiting], do: Process.exit(pid, :kill)
        end)
      end)

      idle()
    end
  end

  test "twenty at once all come to their end" do
    results =
      1..20
      |> Enum.map(fn _ -> Task.async(fn -> compile(@add) end) end)
      |> Task.await_many(60_000)

    assert Enum.all?(results, &match?({:ok, %Module{}}, &1))
    idle()
  end

  test "a helper that is killed is an error for the one who asked, and for nobody else" do
    victim = Task.async(fn -> compile_unscanned(endless_compile()) end)
    pid = os_pid()
    # By then it has read all of it.
    wait(fn -> rss(pid) > 30_000 end)
    other = Task.async(fn -> compile(@rust) end)
    {_, 0} = System.cmd("kill", ["-9", "#{pid}"])

    assert {:error, %Error{reason: :compile_crash} = error} = Task.await(victim, 60_000)
    assert Exception.message(error) =~ "SIGKILL"
    assert {:ok, _} = Task.await(other, 60_000)

    victim = Task.async(fn -> compile_unscanned(endless_compile()) end)
    pid = os_pid()
    wait(fn -> rss(pid) > 30_000 end)
    {_, 0} = System.cmd("kill", ["-ABRT", "#{pid}"])
    assert {:error, %Error{reason: :compile_crash} = error} = Task.await(victim, 60_000)
    assert Exception.message(error) =~ "SIGABRT"
    idle()
  end

  test "the helper is under its limits, and sees nothing of the VM's environment" do
    System.put_env("WASMEX_TEST_SECRET", "secret")
    owner = spawn(fn -> compile_unscanned(endless_compile(), compile_timeout: 5_000) end)
    pid = os_pid()
    wait(fn -> File.read!("/proc/#{pid}/status") =~ ~r/Seccomp:\s2/ end)

    status = File.read!("/proc/#{pid}/status")
    assert status =~ ~r/NoNewPrivs:\s1/
    limits = File.read!("/proc/#{pid}/limits")
    assert limits =~ ~r/Max address space\s+2147483648\s+2147483648/

    for limit <- ["core file size", "file size", "processes", "open files"],
        do: assert(limits =~ ~r/Max #{limit}\s+0\s+0/)

    refute limits =~ ~r/Max cpu time\s+unlimited/
    refute File.read!("/proc/#{pid}/environ") =~ "WASMEX_TEST_SECRET"
    for fd <- File.ls!("/proc/#{pid}/fd"), do: assert(fd in ["0", "1", "2"])
    assert File.read_link!("/proc/#{pid}/fd/2") == "/dev/null"
    Process.exit(owner, :kill)
    idle()
  after
    System.delete_env("WASMEX_TEST_SECRET")
  end

  describe "compile_reuse:" do
    test "names those that may use one helper, one after the other" do
      pids =
        for name <- [:one, :one, :two, nil, nil] do
          task = Task.async(fn -> compile(@rust, compile_reuse: name) end)
          pid = os_pid_of_running()
          assert {:ok, _} = Task.await(task, 60_000)
          pid
        end

      assert [one, one, two, third, fourth] = pids
      assert length(Enum.uniq([one, two, third, fourth])) == 4

      for {_, helper, _, _} <- DynamicSupervisor.which_children(Compiler.Helpers),
          do: Compiler.Helper.stop(helper)

      idle()
    end

    test "a helper that has ended while it rested is replaced" do
      assert {:ok, _} = compile(@add, compile_reuse: :me)
      {_, 0} = System.cmd("kill", ["-9", "#{os_pid()}"])
      wait(fn -> helpers() == 0 end)
      assert {:ok, _} = compile(@add, compile_reuse: :me)

      for {_, helper, _, _} <- DynamicSupervisor.which_children(Compiler.Helpers),
          do: Compiler.Helper.stop(helper)

      idle()
    end
  end

  describe "a helper that is none" do
    @describetag :tmp_dir

    test "is said to be missing", %{tmp_dir: dir} do
      with_helper(Path.join(dir, "nothing"), fn ->
        assert {:error, %Error{reason: :compiler} = error} = compile("(module)")
        assert Exception.message(error) =~ "there is no helper at #{dir}/nothing"
        assert Exception.message(error) =~ "WASMEX_COMPILER_PATH"
        # Never in its place.
        assert {:error, %Error{reason: :compiler}} =
                 Wasmex.HTTP.load(~s|(module (func (export "_start")))|)

        assert {:ok, _} = Module.compile(Engine.default(), "(module)")
      end)
    end

    test "can't be started", %{tmp_dir: dir} do
      path = Path.join(dir, "text")
      File.write!(path, "no program")

      with_helper(path, fn -> assert {:error, %Error{reason: :compiler}} = compile("(module)") end)
    end

    test "says garbage, too much, or nothing", %{tmp_dir: dir} do
      length = Integer.to_string(byte_size(build()) + 2, 8)
      hello = "printf '\\000\\000\\000\\#{length}\\002\\001%s' '#{build()}'"

      for {script_name, script, reason} <- [
            {"garbage", "head -c 1000 /dev/zero | tr '\\\\0' x; sleep 100", :compiler},
            {"flood", "cat /dev/zero", :compiler},
            {"empty", "exit 0", :compile_crash},
            {"status", "exit 9", :compile_crash},
            {"other", "printf '\\000\\000\\000\\005\\002\\001abc'; sleep 100", :compiler},
            {"old", "printf '\\000\\000\\000\\005\\011\\001abc'; sleep 100", :compiler},
            {"reply",
             "#{hello}; head -c 8 >/dev/null; printf '\\000\\000\\000\\002\\011x'; sleep 100",
             :compile_crash},
            {"unasked",
             "#{hello}; printf '\\000\\000\\000\\002\\000x\\000\\000\\000\\002\\000x'; sleep 100",
             :compile_crash},
            {"artefact",
             "#{hello}; head -c 8 >/dev/null; printf '\\000\\000\\000\\003\\000xx'; sleep 100",
             :artefact},
            {"silent", "exec sleep 100", :compile_timeout},
            {"limits", "exit 72", :compiler}
          ] do
        path = Path.join(dir, script_name)
        File.write!(path, "#!/bin/sh\n#{script}\n")
        File.chmod!(path, 0o755)

        with_helper(path, fn ->
          result = compile("(module)", compile_timeout: 2_000)
          assert {^script_name, {:error, %Error{reason: ^reason}}} = {script_name, result}
        end)
      end

      idle()
    end
  end

  defp build, do: Wasmex.Native.engine_build()

  defp os_pid_of_running do
    wait(fn -> Enum.any?(DynamicSupervisor.which_children(Compiler.Helpers), &busy/1) end)
    DynamicSupervisor.which_children(Compiler.Helpers) |> Enum.find_value(&busy/1)
  end

  defp busy({_, helper, _, _}) do
    case :sys.get_state(helper) do
      %{job: nil} -> nil
      %{port: port} -> with {:os_pid, pid} <- Port.info(port, :os_pid), do: pid
    end
  catch
    :exit, _ -> nil
  end

  defp rss(pid) do
    case File.read("/proc/#{pid}/statm") do
      {:ok, text} -> text |> String.split() |> Enum.at(1) |> String.to_integer() |> Kernel.*(4)
      _ -> 0
    end
  end

  defp with_helper(path, function) do
    before = System.get_env("WASMEX_COMPILER_PATH")

    try do
      System.put_env("WASMEX_COMPILER_PATH", path)
      function.()
    after
      System.put_env([{"WASMEX_COMPILER_PATH", before}])
    end
  end

  defp with_env(key, value, function) do
    before = Application.fetch_env(:wasmex, key)
    Application.put_env(:wasmex, key, value)

    try do
      function.()
    after
      case before do
        {:ok, value} -> Application.put_env(:wasmex, key, value)
        :error -> Application.delete_env(:wasmex, key)
      end
    end
  end
end
