defmodule Wasmex.ProgramTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Cat, Error, Program, Trap}

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  defp start(args, opts \\ []),
    do: Program.start_link([program: @rust, args: args] ++ opts)

  defp ended(pid) do
    ref = Process.monitor(pid)
    assert_receive {:DOWN, ^ref, :process, ^pid, reason}
    reason
  end

  test "takes input at any time and sends its output, then its exit status" do
    {:ok, pid} = start(["echo"])
    assert Program.write(pid, "one") == {:ok, 3}
    assert_receive {^pid, {:data, "one"}}
    Program.write(pid, ["t", ?w, "o"])
    assert_receive {^pid, {:data, "two"}}
    assert Program.close_stdin(pid) == :ok
    assert_receive {^pid, {:exit_status, 0}}
    assert ended(pid) in [:normal, :noproc]
    assert {:error, %Error{reason: :closed}} = Program.write(pid, "late")
  end

  test "tells the two streams apart, or sends standard error elsewhere" do
    go = "test/guests/go_main/go_main.wasm"
    {:ok, pid} = Program.start_link(program: go, args: ["3"])
    assert_receive {^pid, {:data, "args:" <> _}}
    assert_receive {^pid, {:stderr, "a line on stderr\n"}}
    assert_receive {^pid, {:exit_status, 3}}
    {:ok, pid} = Program.start_link(program: go, args: ["3"], stderr: :null)
    assert_receive {^pid, {:exit_status, 3}}
    refute_received {^pid, {:stderr, _}}
  end

  test "ends with an error after a trap, a timeout, too much output" do
    {:ok, pid} = start(["panic"])
    assert_receive {^pid, {:error, %Trap{code: :unreachable}}}
    {:ok, pid} = start(["sleep", "60000"], timeout: 20)
    assert_receive {^pid, {:error, %Error{reason: :timeout}}}
    {:ok, pid} = start(["spin"], timeout: 20)
    assert_receive {^pid, {:error, %Error{reason: :timeout}}}
    {:ok, pid} = start(["flood"], max_output: 1_000)
    assert_receive {^pid, {:data, <<_::binary-size(1_000)>>}}
    assert_receive {^pid, {:error, %Error{reason: :output_limit}}}
  end

  test "waits while nobody asks" do
    {:ok, pid} = start(["flood"], active: false, max_output: :infinity)
    refute_receive {^pid, _}, 50
    assert :ok = Program.active(pid, :once)
    assert_receive {^pid, {:data, first}}
    assert byte_size(first) > 0
    refute_receive {^pid, _}, 20
    Program.active(pid, :once)
    assert_receive {^pid, {:data, _}}
    assert Program.stop(pid) == :ok

    {:ok, pid} = start(["echo"], active: :once, stdin: "short")
    assert_receive {^pid, {:data, "short"}}
    assert_receive {^pid, {:exit_status, 0}}
  end

  test "is stopped with its owner, by stop/1 and by its supervisor" do
    test = self()

    owner =
      spawn(fn ->
        {:ok, pid} = start(["spin"])
        send(test, {:started, pid})
        Process.sleep(:infinity)
      end)

    assert_receive {:started, pid}
    Process.exit(owner, :kill)
    ended(pid)

    for args <- [["spin"], ["sleep", "60000"], ["echo"]] do
      {:ok, pid} = start(args)
      Process.sleep(5)
      assert Program.stop(pid) == :ok
    end

    pid = start_supervised!({Program, program: @rust, args: ["spin"], owner: self()})
    Process.sleep(5)
    assert stop_supervised(Program) == :ok
    ended(pid)
  end

  test "serves its mailbox while the guest computes" do
    {:ok, pid} = start(["spin"])
    assert %Program.Server{} = :sys.get_state(pid)
    Program.stop(pid)
  end

  test "an input that is full holds up its writer alone" do
    {:ok, pid} = start(["sleep", "60000"])
    big = :binary.copy("x", 1024 * 1024)
    assert {:error, %Error{reason: :timeout}} = Program.write(pid, big, 30)
    Program.stop(pid)
  end

  test "has a name, and an input of its own if it is given one" do
    {:ok, pid} = Program.start_link(program: Cat.wat(), name: :wasmex_test_cat)
    assert Process.whereis(:wasmex_test_cat) == pid
    assert {:ok, 1} = Program.write(:wasmex_test_cat, "x")
    assert_receive {^pid, {:data, "x"}}
    Program.stop(pid)

    {:ok, pid} = start(["echo"], stdin: Stream.map(1..3, &"#{&1}"))
    assert_receive {^pid, {:data, "1"}}
    assert_receive {^pid, {:exit_status, 0}}
  end

  test "a missing program is an error, and invalid options raise" do
    assert {:error, %Error{reason: :file}} = Program.start_link(program: "no/such.wasm")

    # None of these takes the one that asks along.
    assert {:error, %Error{reason: :wasi}} =
             Program.start_link(program: @rust, dirs: %{"/x" => "/no/such/folder"})

    for args <- [["a", 1], ["a" | "b"], :a],
        do:
          assert_raise(ArgumentError, ~r/:args in Wasmex/, fn ->
            Program.start_link(program: @rust, args: args)
          end)

    assert_raise ArgumentError, ~r/missing option :program in Wasmex.Program.start_link.1/, fn ->
      Program.start_link(args: [])
    end

    assert_raise ArgumentError, ~r/stdout/, fn -> start([], stdout: :null) end
    assert_raise ArgumentError, ~r/active/, fn -> start([], active: 5) end
    assert_raise ArgumentError, ~r/owner/, fn -> start([], owner: :me) end
  end

  test "a failed start is returned to the caller, which stays alive" do
    task =
      Task.async(fn ->
        for {opts, text} <- [
              {[args: [<<255>>]], "args"},
              {[args: [<<"a", 0>>]], "args"},
              {[env: %{"A=B" => ""}], "A=B"},
              {[stdin: 42], ":stdin in"},
              {[stderr: {1, 2}], ":stderr in"},
              {[allow_http: true], "allow_http:"}
            ] do
          error =
            assert_raise ArgumentError, fn -> Program.start_link([program: @rust] ++ opts) end

          assert Exception.message(error) =~ text
        end

        {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), File.read!(@rust))
        Program.start_link(program: module, fuel: 5)
      end)

    assert {:error, %Error{reason: :fuel_disabled}} = Task.await(task, :infinity)
  end

  test "a process that is asked what it does not know goes on" do
    {:ok, pid} = start(["echo"])
    assert {:error, "unknown request" <> _} = GenServer.call(pid, :what)
    GenServer.cast(pid, :what)
    send(pid, :what)
    assert Program.close_stdin(pid) == :ok
    assert Program.close_stdin(pid) == :ok
    assert_receive {^pid, {:exit_status, 0}}
  end

  test "an input that can't be closed in time is said to be open" do
    me = self()

    hold = fn _ ->
      send(me, :inside)
      receive do: (:go -> nil)
    end

    wat =
      ~s|(module (import "e" "f" (func $f)) (memory (export "memory") 1) (func (export "_start") call $f))|

    imports = %{e: %{f: {:fn, [], [], hold}}}
    {:ok, pid} = Program.start_link(program: wat, imports: imports)
    assert_receive :inside
    assert {:error, %Error{reason: :timeout}} = Program.close_stdin(pid, 10)
    assert {:error, %Error{reason: :timeout} = error} = Program.write(pid, "x", 10)
    assert Exception.message(error) == "the program did not reply in time"

    assert_raise ArgumentError, ~r/milliseconds or :infinity as timeout/, fn ->
      Program.write(pid, "x", "10")
    end

    send(pid, :go)
    assert_receive {^pid, {:exit_status, 0}}
    assert {:error, %Error{reason: :closed} = error} = Program.write(pid, "x")
    assert Exception.message(error) == "the program has ended"
  end
end
