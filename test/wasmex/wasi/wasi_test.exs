defmodule Wasmex.WasiTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Exit, Guest, Instance, Memory, Pipe, Store, Trap}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  defp rust(args, options \\ []),
    do: Guest.run("rust_wasi", [args: ["rust_wasi" | args]] ++ options)

  test "nothing is granted by default" do
    assert {{:ok, []}, "", ""} = Guest.run("rust_wasi", args: ["rust_wasi", "env"])
    assert {{:error, %Exit{status: 1}}, "", "error: " <> _} = rust(["cat", "mix.exs"])
    assert {{:error, %Exit{status: 1}}, "", _} = rust(["ls", "/"])
    assert {{:ok, []}, "", ""} = rust(["echo"])
  end

  test "arguments, environment, input" do
    assert {{:ok, []}, out, ""} = rust(["args", "a b", "ü"])
    assert out =~ "a b" and out =~ "ü"
    assert {{:ok, []}, out, ""} = rust(["env"], env: %{"KEY" => "value"})
    assert out =~ "KEY=value"
    bytes = :rand.bytes(100_000)
    assert {{:ok, []}, ^bytes, ""} = rust(["echo"], stdin: Guest.input(bytes))
  end

  test "the exit status" do
    assert {{:error, %Exit{status: 0}}, _, _} = Guest.run("go_main", args: ["go_main"])

    assert {{:error, %Exit{status: 3}}, out, err} =
             Guest.run("go_main", args: ["go_main", "3"], env: %{"A" => "1"})

    assert out =~ "args: [go_main 3]" and out =~ "A=1" and err =~ "a line on stderr"
    assert {{:error, %Exit{status: 42}}, _, _} = rust(["exit", "42"])
  end

  test "proc_exit inside a nested call ends that call alone" do
    wat = """
    (module (import "env" "f" (func $f (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "outer") (result i32) call $f)
      (func (export "exit") (param i32) local.get 0 call $exit))
    """

    nested = fn context ->
      {:error, %Exit{status: 7}} = Instance.call(context.instance, "exit", [7])
      5
    end

    {:ok, store} = Store.new_wasi(%WasiOptions{})
    {_, instance} = Guest.start(wat, %{env: %{f: {:fn, [], [:i32], nested}}}, store)
    assert Instance.call(instance, "outer", []) == {:ok, [5]}
    assert {:error, %Exit{status: 0}} = Instance.call(instance, "exit", [0])
    assert Instance.call(instance, "outer", []) == {:ok, [5]}
  end

  test "a panic is a trap, its text on standard error" do
    assert {{:error, %Trap{code: :unreachable}}, "", err} = rust(["panic"])
    assert err =~ "the guest panics"
  end

  @tag :tmp_dir
  test "directories, as far as they are granted", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "in.txt"), "text")
    File.write!(Path.join(Path.dirname(dir), "secret.txt"), "secret")
    File.ln_s!("../secret.txt", Path.join(dir, "link.txt"))
    both = [preopen: [%PreopenOptions{path: dir, alias: "/data"}]]
    only = [preopen: [%PreopenOptions{path: dir, alias: "/data", read_only: true}]]

    for options <- [both, only] do
      assert {{:ok, []}, "text", ""} = rust(["cat", "/data/in.txt"], options)
      assert {{:error, %Exit{}}, "", _} = rust(["cat", "/data/../secret.txt"], options)
      assert {{:error, %Exit{}}, "", _} = rust(["cat", "/data/link.txt"], options)
      assert {{:error, %Exit{}}, "", _} = rust(["cat", "/etc/hostname"], options)
      assert {{:ok, []}, list, ""} = rust(["ls", "/data"], options)
      assert list =~ "in.txt"
    end

    assert {{:error, %Exit{}}, "", _} = rust(["write", "/data/out.txt", "new"], only)
    refute File.exists?(Path.join(dir, "out.txt"))
    assert {{:ok, []}, _, ""} = rust(["write", "/data/out.txt", "new"], both)
    assert File.read!(Path.join(dir, "out.txt")) == "new"

    missing = %WasiOptions{preopen: [%PreopenOptions{path: Path.join(dir, "none")}]}
    assert {:error, text} = Store.new_wasi(missing)
    assert text =~ "No such file or directory"
  end

  test "clocks and randomness can be fixed" do
    clock = ~U[2020-01-02 03:04:05Z]
    assert {{:ok, []}, time, ""} = rust(["time"], clock: clock)
    assert String.trim(time) == "#{DateTime.to_unix(clock)}"
    assert {{:ok, []}, one, ""} = rust(["random"], seed: 5)
    assert {{:ok, []}, ^one, ""} = rust(["random"], seed: 5)
    assert {{:ok, []}, other, ""} = rust(["random"], seed: 6)
    assert {{:ok, []}, real, ""} = rust(["random"])
    assert length(Enum.uniq([one, other, real])) == 3
  end

  test "a sleeper is stopped by its timeout and leaves no message" do
    {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "sleep", "60000"]})
    {_, instance} = Guest.start(Guest.bytes("rust_wasi"), %{}, store)
    assert {:error, %{reason: :timeout}} = Instance.call(instance, "_start", [], timeout: 20)
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "Go calls Elixir with a string by pointer and length" do
    test = self()

    log = fn context, pointer, length ->
      send(test, Memory.read_string(context.caller, context.memory, pointer, length))
    end

    imports = %{
      env: %{
        log_string: {:fn, [:i32, :i32], [], log},
        add: {:fn, [:i32, :i32], [:i32], fn _, a, b -> a + b end}
      }
    }

    {:ok, store} = Store.new_wasi(%WasiOptions{})
    {_, instance} = Guest.start(Guest.bytes("go_import"), imports, store)
    assert Instance.call(instance, "hello", []) == {:ok, []}
    assert_received "Hello from Go, 2 + 3 = 5"
  end

  test "a reactor's _initialize is called once, and an explicit call of it is harmless" do
    {_, instance} = Guest.start(Guest.bytes("c_reactor"))
    assert Instance.call(instance, "counter", []) == {:ok, [101]}
    {_, instance} = Guest.start(Guest.bytes("c_reactor"))
    assert Instance.call(instance, "_initialize", []) == {:ok, []}
    assert Instance.call(instance, "counter", []) == {:ok, [101]}
  end

  test "an import shadows the WASI function of its name" do
    imports = %{
      wasi_snapshot_preview1: %{
        random_get:
          {:fn, [:i32, :i32], [:i32],
           fn context, pointer, length ->
             :ok =
               Memory.write(context.caller, context.memory, pointer, :binary.copy(<<7>>, length))

             0
           end}
      }
    }

    {:ok, stdout} = Pipe.new()
    {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "random"], stdout: stdout})
    {_, instance} = Guest.start(Guest.bytes("rust_wasi"), imports, store)
    assert Instance.call(instance, "_start", []) == {:ok, []}
    assert Guest.text(stdout) =~ "0707070707070707"
  end

  test "structs of another type name the field" do
    for {options, field} <- [
          {%WasiOptions{args: ["a", 1]}, ":args"},
          {%WasiOptions{args: [<<255>>]}, ":args"},
          {%WasiOptions{env: %{1 => "1"}}, ":env"},
          {%WasiOptions{env: %{a: 1}}, ":env"},
          {%WasiOptions{env: %{"A=B" => "1"}}, ":env"},
          {%WasiOptions{env: %{"A" => <<"a", 0>>}}, ":env"},
          {%WasiOptions{stdin: :file}, ":stdin"},
          {%WasiOptions{clock: 5}, ":clock"},
          {%WasiOptions{seed: -1}, ":seed"},
          {%WasiOptions{preopen: ["dir"]}, "preopen"}
        ] do
      assert_raise ArgumentError, ~r/#{field}/, fn -> Store.new_wasi(options) end
    end
  end
end
