defmodule Wasmex.Plugin.BadInputTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Exit, Plugin, Trap}

  @kits "test/guests/plugins"

  defp kit(name, opts \\ []) do
    {:ok, plugin} = Plugin.new(Path.join(@kits, name <> ".wasm"), opts)
    plugin
  end

  # A plug-in with one function, of which only the body matters.
  defp plugin(body, opts \\ []) do
    {:ok, plugin} = Plugin.new({:bytes, wat(body)}, opts)
    plugin
  end

  defp wat(body) do
    ~s|(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "free" (func $free (param i64)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "load_u8" (func $load (param i64) (result i32)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "store_u64" (func $store64 (param i64 i64)))
      (import "extism:host/env" "input_offset" (func $at (result i64)))
      (import "extism:host/env" "input_length" (func $size (result i64)))
      (import "extism:host/env" "input_set" (func $input (param i64 i64)))
      (import "extism:host/env" "input_load_u8" (func $input_load (param i64) (result i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (import "extism:host/env" "error_set" (func $error (param i64)))
      (import "extism:host/env" "config_get" (func $config (param i64) (result i64)))
      (import "extism:host/env" "log_error" (func $log (param i64)))
      (func (export "go") (result i32) (local $p i64) #{body}))|
  end

  defp new_error(source, opts \\ []) do
    assert {:error, error} = Plugin.new(source, opts)
    error
  end

  test "an export of another type is not called" do
    for name <- ["i64_result", "with_param", "two_results"] do
      assert {:error, %Error{reason: :signature} = error} = Plugin.call(kit("echo"), name)
      assert Exception.message(error) =~ name
    end
  end

  test "a function that is not there has close names" do
    assert {:error, %Error{reason: :unknown_export} = error} = Plugin.call(kit("echo"), "ecko")
    assert Exception.message(error) =~ ~s|did you mean "echo"|
    assert {:error, %Error{reason: :unknown_export}} = Plugin.call(kit("echo"), <<255>>)
    assert {:error, %Error{reason: :unknown_export}} = Plugin.call(kit("echo"), "memory")
  end

  test "input that is larger than the memory it may have" do
    plugin = kit("echo", max_memory: 4 * 1024 * 1024)

    assert {:error, %Error{reason: :oom} = error} =
             Plugin.call(plugin, "echo", :binary.copy("a", 8 * 1024 * 1024))

    assert Exception.message(error) =~ "max_memory is 4194304 bytes"
    assert Plugin.call(plugin, "echo", "x") == {:ok, "x"}
  end

  test "output outside of the memory is ignored, over the end of its block it is cut" do
    ok = "(i32.const 0)"

    body =
      "(call $output (call $at) (i64.const 3)) (call $output (i64.const 4000000000) (i64.const 10)) #{ok}"

    assert Plugin.call(plugin(body), "go", "abcdef") == {:ok, "abc"}
    # The end is in another block, and the sum wraps round.
    assert Plugin.call(
             plugin(
               "(drop (call $alloc (i64.const 100))) (call $output (call $at) (i64.const 50)) #{ok}"
             ),
             "go",
             "abcdef"
           ) == {:ok, "abcdef"}

    assert Plugin.call(plugin("(call $output (call $at) (i64.const -1)) #{ok}"), "go", "abcdef") ==
             {:ok, ""}

    assert Plugin.call(plugin("(call $output (i64.const 8) (i64.const 8)) #{ok}"), "go", "abcdef") ==
             {:ok, ""}
  end

  test "the host's own words can't be reached" do
    body = """
      (call $store64 (i64.const 0) (i64.const -1)) (call $store64 (i64.const 57) (i64.const -1))
      (call $store (i64.const 63) (i32.const 7)) (call $store64 (i64.const -4) (i64.const -1))
      (call $output (call $at) (call $size))
      (call $load (i64.const 63))
    """

    assert Plugin.call(plugin(body), "go", "abc") == {:ok, "abc"}
  end

  test "an input elsewhere is only set within the memory" do
    body =
      "(call $input (i64.const 4000000000) (i64.const 10)) (call $input (i64.const -1) (i64.const 2)) (i32.sub (call $input_load (i64.const 0)) (i32.const 97))"

    assert Plugin.call(plugin(body), "go", "abc") == {:ok, ""}
  end

  test "an error that is not UTF-8 comes as it is" do
    assert {:error, %Plugin.Error{code: 3, message: <<255, 0, 254>>} = error} =
             Plugin.call(plugin("(call $error (call $at)) (i32.const 3)"), "go", <<255, 0, 254>>)

    assert Exception.message(error) == <<255, 0, 254>>
  end

  test "errors that are no block are none" do
    for offset <- ["5000", "-1", "0"] do
      assert Plugin.call(plugin("(call $error (i64.const #{offset})) (i32.const 0)"), "go") ==
               {:ok, ""}

      assert {:error, %Plugin.Error{code: 2}} =
               Plugin.call(plugin("(call $error (i64.const #{offset})) (i32.const 2)"), "go")
    end
  end

  test "an error that was freed is still what a failed call says, as kits from before Extism 1.0 have it" do
    freed = "(call $error (call $at)) (call $free (call $at))"

    assert {:error, %Plugin.Error{code: 3, message: "why"}} =
             Plugin.call(plugin(freed <> "(i32.const 3)"), "go", "why")

    assert Plugin.call(plugin(freed <> "(i32.const 0)"), "go", "why") == {:ok, ""}
  end

  test "a name that is not there, among many exports" do
    exports = for n <- 1..5000, into: "", do: ~s|(export "name_#{n}" (func 0))|
    {:ok, plugin} = Plugin.new({:bytes, "(module (func) #{exports})"})
    assert {:error, %Error{reason: :unknown_export} = error} = Plugin.call(plugin, "nam_5")
    assert Exception.message(error) =~ ~s|did you mean "name_5"|
    assert length(error.details.names) == 1000
    assert length(Plugin.functions(plugin)) == 5000
  end

  test "keys and texts that are no blocks, or no UTF-8" do
    assert {:error, %Error{reason: :guest} = error} =
             Plugin.call(plugin("(drop (call $config (i64.const 7))) (i32.const 0)"), "go")

    assert Exception.message(error) == "invalid handle offset for config key: 7"

    assert {:error, %Error{reason: :guest} = error} =
             Plugin.call(plugin("(drop (call $config (call $at))) (i32.const 0)"), "go", <<255>>)

    assert Exception.message(error) =~ "invalid utf-8"
    body = "(call $log (i64.const 7)) (i32.const 0)"
    assert Plugin.call(plugin(body), "go") == {:ok, ""}
    assert {:error, %Error{reason: :guest}} = Plugin.call(plugin(body, log_level: :error), "go")
  end

  test "blocks freed twice, of no offset, and of sizes that nothing has" do
    body = """
      (local.set $p (call $alloc (i64.const 10)))
      (call $free (local.get $p)) (call $free (local.get $p)) (call $free (i64.const 0)) (call $free (i64.const -1))
      (i32.wrap_i64 (i64.or (i64.or (call $alloc (i64.const 0x4000000000000000)) (call $alloc (i64.const -1)))
                            (i64.or (call $alloc (i64.const 0x100000000)) (call $length (local.get $p)))))
    """

    assert Plugin.call(plugin(body), "go", "abc") == {:ok, ""}
  end

  test "a million blocks in one call, and again" do
    body = """
      (local $i i32)
      (loop $l
        (local.set $p (call $alloc (i64.const 1)))
        (if (i64.ne (call $length (local.get $p)) (i64.const 1)) (then (return (i32.const 1))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))
      (i32.const 0)
    """

    plugin = plugin(body)
    assert Plugin.call(plugin, "go") == {:ok, ""}
    assert Plugin.call(plugin, "go") == {:ok, ""}
  end

  test "a new block is zero, whatever a call before left there" do
    dirty =
      "(local.set $p (call $alloc (i64.const 1))) (drop (call $load (local.get $p))) (call $store (local.get $p) (i32.const 9)) (call $load (local.get $p))"

    plugin =
      plugin(
        dirty
        |> String.replace(
          "(drop (call $load (local.get $p)))",
          "(if (call $load (local.get $p)) (then (return (i32.const 77))))"
        )
      )

    assert {:error, %Plugin.Error{code: 9}} = Plugin.call(plugin, "go")
    assert {:error, %Plugin.Error{code: 9}} = Plugin.call(plugin, "go")
  end

  test "memory: initial pages of the plug-in are free, growing is not; 0 allows nothing" do
    grow =
      ~S|(module (memory 1) (func (export "go") (result i32) (i32.ne (memory.grow (i32.const 1)) (i32.const 1))))|

    plugin = fn pages ->
      %{wasm: [%{data: {:bytes, grow}}], memory: %{max_pages: pages}} |> Plugin.new() |> elem(1)
    end

    assert Plugin.call(plugin.(1), "go") == {:ok, ""}
    assert {:error, %Error{reason: :oom}} = Plugin.call(plugin.(0), "go")
    one = plugin.(1)
    assert {:ok, ""} = Plugin.call(one, "go")
    assert {:error, %Error{reason: :oom} = error} = Plugin.call(one, "go")
    assert Exception.message(error) =~ "max_pages is 1"
  end

  test "more than 4 GiB is refused to the guest as the specification has it" do
    wat =
      ~S|(module (memory 1) (func (export "go") (result i32) (i32.add (memory.grow (i32.const 65536)) (i32.const 1))))|

    {:ok, plugin} = Plugin.new({:bytes, wat})
    assert Plugin.call(plugin, "go") == {:ok, ""}
  end

  test "a module whose first pages are more than it may have" do
    assert %Error{} = error = new_error({:bytes, "(module (memory 60000))"})
    assert Exception.message(error) =~ "exceeds memory limits"
  end

  test "what initialises for ever, traps, exits or fails in a function ends new" do
    forever = ~S|(module (func (export "_initialize") (loop $l (br $l))) (func (export "go")))|
    assert %Error{reason: :timeout} = new_error({:bytes, forever}, timeout: 30)
    start = ~S|(module (func $s (loop $l (br $l))) (start $s))|
    assert %Error{reason: :timeout} = new_error({:bytes, start}, timeout: 30)

    assert %Trap{code: :unreachable} =
             new_error({:bytes, ~S|(module (func (export "__wasm_call_ctors") unreachable))|})

    exits =
      ~S|(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
      (func (export "_initialize") (call $exit (i32.const 3))))|

    assert %Exit{status: 3} = new_error({:bytes, exits}, wasi: true)

    asks =
      ~S|(module (import "extism:host/user" "f" (func $f)) (func (export "_initialize") (call $f)))|

    functions = %{"extism:host/user" => %{"f" => {:fn, [], [], fn _ -> raise "no" end}}}
    assert %Error{reason: :import_raised} = new_error({:bytes, asks}, functions: functions)
  end

  test "an _initialize of the wrong type is not called" do
    wat = ~S|(module (func (export "_initialize") (param i32) unreachable) (func (export "go")))|
    assert {:ok, plugin} = Plugin.new({:bytes, wat})
    assert Plugin.call(plugin, "go") == {:ok, ""}
  end

  test "functions of the ABI that there are not, its memory and its globals" do
    import = fn rest -> ~s|(module (import "extism:host/env" #{rest}))| end

    assert %Error{reason: :missing_import} =
             new_error({:bytes, import.(~S|"nonsense" (func (param i64))|)})

    assert %Error{reason: :incompatible_import} =
             new_error({:bytes, import.(~S|"memory" (memory 1)|)})

    assert %Error{reason: :incompatible_import} =
             new_error({:bytes, import.(~S|"extism_context" (global (mut externref))|)})

    assert %Error{reason: :incompatible_import} =
             new_error({:bytes, import.(~S|"alloc" (func (param i32) (result i64))|)})

    assert %Error{reason: :incompatible_import} =
             new_error({:bytes, import.(~S|"load_u8" (func (param i64) (result i64))|)})
  end

  test "WASI that is not granted says what to do" do
    error = new_error(Path.join(@kits, "rust-files.wasm"))
    assert %Error{reason: :missing_import} = error
    assert Exception.message(error) =~ "wasi"
  end

  test "bytes that are no module, a component, nothing" do
    assert %Error{} = new_error({:bytes, "no wasm"})
    assert %Error{} = new_error({:bytes, ""})
    assert %Error{} = new_error({:bytes, <<0, "asm", 1, 0, 0, 0, 255>>})
    assert %Error{reason: :component} = new_error({:bytes, <<0, "asm", 13, 0, 1, 0>>})
    assert_raise ArgumentError, ~r/expected a plug-in: a path.*got: 7/, fn -> Plugin.new(7) end
  end

  test "the owner is killed while it makes one, calls, or is in a function of its own" do
    test = self()

    functions = %{
      "extism:host/user" => %{
        "f" =>
          {:fn, [], [],
           fn _ ->
             send(test, :there)
             Process.sleep(:infinity)
           end}
      }
    }

    asks = fn export ->
      ~s|(module (import "extism:host/user" "f" (func $f)) (func (export "#{export}") (call $f)))|
    end

    for {export, act} <- [
          {"_initialize", fn source -> Plugin.new(source, functions: functions) end},
          {"go",
           fn source ->
             source |> Plugin.new(functions: functions) |> elem(1) |> Plugin.call("go")
           end}
        ] do
      {pid, monitor} = spawn_monitor(fn -> act.({:bytes, asks.(export)}) end)
      assert_receive :there
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, _, :killed}
    end
  end

  test "used after it was closed" do
    plugin = kit("echo")
    assert Plugin.close(plugin) == :ok
    assert {:error, %Error{reason: :closed}} = Plugin.call(plugin, "echo", "x")
    assert {:error, %Error{reason: :closed}} = Plugin.vars(plugin)
    assert {:error, %Error{reason: :closed}} = Plugin.put_config(plugin, %{})
    assert {:error, %Error{reason: :closed}} = Plugin.reset(plugin)
  end
end
