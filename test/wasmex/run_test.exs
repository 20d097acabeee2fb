defmodule Wasmex.RunTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  alias Wasmex.{Error, Guest, Linker, Module, Pipe, Run, Trap}

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  defp rust(args, opts \\ []), do: Wasmex.run(@rust, args, opts)

  describe "a program" do
    @tag :tmp_dir
    test "is a path, bytes, text, a module, a template or an artefact", %{tmp_dir: dir} do
      bytes = File.read!(@rust)
      {:ok, module} = Module.compile(Wasmex.Engine.default(), bytes)
      {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
      {:ok, artefact} = Module.serialize(module)

      path = Path.join(dir, "program.cwasm")
      File.write!(path, artefact)

      for program <- [@rust, bytes, module, template, artefact, path] do
        assert {:ok, %Run{status: 0, stdout: "hi", stderr: ""}} =
                 Wasmex.run(program, ["echo"], stdin: "hi")
      end

      assert {:ok, %Run{status: 0}} = Wasmex.run(~s|(module (func (export "_start")))|)
    end

    test "has its exit status, whatever it is" do
      assert {:ok, %Run{status: 42}} = rust(["exit", "42"])
      assert %Run{status: 42} = Wasmex.run!(@rust, ["exit", "42"])
    end

    test "knows its arguments, its name and its environment" do
      assert {:ok, %Run{stdout: out}} = rust(["args", "a b", "ü"])
      assert out =~ "a b" and out =~ "ü"
      go = "test/guests/go_main/go_main.wasm"
      assert {:ok, %Run{stdout: "args: [go_main.wasm 0]" <> _}} = Wasmex.run(go, ["0"])
      assert {:ok, %Run{stdout: "args: [prog 0]" <> _}} = Wasmex.run(go, ["0"], name: "prog")
      assert {:ok, %Run{stdout: "A=1\n"}} = rust(["env"], env: [{"A", "1"}])
      assert {:ok, %Run{stdout: "B=2\n"}} = rust(["env"], env: %{B: "2"})
      assert {:ok, %Run{stdout: ""}} = rust(["env"])
    end

    test "may import Elixir functions, which run in this process" do
      wat = ~s|(module (import "env" "f" (func $f (param i32))) (memory (export "memory") 1)
        (func (export "_start") (call $f (i32.const 7))))|

      test = self()
      function = fn _context, n -> send(test, {:got, n, self()}) end
      assert {:ok, _} = Wasmex.run(wat, [], imports: %{env: %{f: {:fn, [:i32], [], function}}})
      assert_received {:got, 7, ^test}
    end

    test "may import what linked modules export" do
      {:ok, lib} =
        Module.compile(
          Wasmex.Engine.default(),
          ~s|(module (func (export "seven") (result i32) i32.const 7))|
        )

      wat = ~s|(module (import "lib" "seven" (func $f (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
        (func (export "_start") (call $exit (call $f))))|

      assert {:ok, %Run{status: 7}} = Wasmex.run(wat, [], links: %{lib: lib})
    end

    test "or a function of a library can be called, its results in the run" do
      wat =
        ~s|(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))|

      assert {:ok, %Run{status: nil, results: [5]}} = Wasmex.run(wat, [], invoke: {"add", [2, 3]})
    end

    test "tells what it used" do
      assert {:ok, run} = rust(["grow"], max_memory: 4 * 1024 * 1024, fuel: 1_000_000_000)
      assert run.peak_memory > 1_000_000 and run.peak_memory <= 4 * 1024 * 1024
      assert run.fuel_used > 0
      assert run.duration > 0
      assert {:ok, %Run{fuel_used: nil}} = rust(["args"])
    end
  end

  describe "input" do
    test "is iodata or an Enumerable of it" do
      bytes = :rand.bytes(300_000)

      for stdin <- [bytes, [bytes], Stream.map([bytes], & &1), [[bytes, ""], ""]] do
        assert {:ok, %Run{stdout: ^bytes}} = rust(["echo"], stdin: stdin)
      end

      assert {:ok, %Run{stdout: ""}} = rust(["echo"])
      assert {:ok, %Run{stdout: ""}} = rust(["echo"], stdin: [])
      assert {:ok, %Run{stdout: "abc"}} = rust(["echo"], stdin: ["a", [?b], "", "c"])
    end

    test "ends with an element that is an error" do
      error = %Error{reason: :input, details: %{message: "no more"}}

      assert {:error, %Error{reason: :input, details: %{message: "no more"}, run: run}} =
               rust(["echo"], stdin: Stream.map(["a", {:error, error}, "b"], & &1))

      assert run.stdout == "a"
    end

    test "is asked for when the guest reads, in this process, and let go when it ends" do
      test = self()

      endless =
        Stream.resource(
          fn -> 0 end,
          fn n ->
            send(test, {:asked, n, self()})
            {["line\n"], n + 1}
          end,
          fn _ -> send(test, :let_go) end
        )

      assert {:ok, _} = rust(["exit", "0"], stdin: endless)
      refute_received {:asked, _, _}
      refute_received :let_go

      first =
        ~s|(module (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (i32.store (i32.const 4) (i32.const 16))
          (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))))|

      assert {:ok, _} = Wasmex.run(first, [], stdin: endless)
      assert_received {:asked, 0, ^test}
      assert_received :let_go
      refute_received {:asked, 1, _}
    end

    test "that raises goes through" do
      broken = Stream.map([1], fn _ -> raise "no more" end)
      assert_raise RuntimeError, "no more", fn -> rust(["echo"], stdin: broken) end
      assert catch_throw(rust(["echo"], stdin: Stream.map([1], fn _ -> throw(:x) end))) == :x
      assert {:error, %Error{reason: :input} = error} = rust(["echo"], stdin: [:atom])
      assert Exception.message(error) =~ ":atom"
    end

    test "comes from an IO device" do
      {:ok, device} = StringIO.open("some text ü")
      assert {:ok, %Run{stdout: "some text" <> _}} = rust(["echo"], stdin: device)
      {:ok, file} = File.open("mix.exs")
      mix = File.read!("mix.exs")
      assert {:ok, %Run{stdout: ^mix}} = rust(["echo"], stdin: file)
    end

    test "is a pipe that somebody else writes to" do
      {:ok, pipe} = Pipe.new(mode: :stream)

      task =
        Task.async(fn ->
          Pipe.write(pipe, "from elsewhere")
          Pipe.close(pipe)
        end)

      assert {:ok, %Run{stdout: "from elsewhere"}} = rust(["echo"], stdin: pipe)
      Task.await(task, 60_000)
    end
  end

  describe "output" do
    test "goes to a function, a Collectable, a device, a pipe, nowhere" do
      test = self()

      assert {:ok, %Run{stdout: nil}} =
               rust(["echo"], stdin: "x", stdout: &send(test, {:out, &1}))

      assert_received {:out, "x"}
      assert {:ok, %Run{stdout: ["x"]}} = rust(["echo"], stdin: "x", stdout: [])
      {:ok, device} = StringIO.open("")
      assert {:ok, %Run{stdout: nil}} = rust(["echo"], stdin: "zwölf €", stdout: device)
      assert StringIO.contents(device) == {"", "zwölf €"}
      {:ok, pipe} = Pipe.new()
      assert {:ok, %Run{stdout: nil}} = rust(["echo"], stdin: "x", stdout: pipe)
      assert Guest.text(pipe) == "x"
      assert {:ok, %Run{stdout: nil}} = rust(["echo"], stdin: "x", stdout: :null)
      assert capture_io(fn -> rust(["echo"], stdin: "grüß", stdout: :inherit) end) == "grüß"
    end

    test "of both streams can be one" do
      assert {:ok, %Run{stdout: out, stderr: nil}} =
               Wasmex.run("test/guests/go_main/go_main.wasm", ["3"], stderr: :stdout)

      assert out =~ "args:" and out =~ "a line on stderr"
    end

    @tag :tmp_dir
    test "to a file keeps all bytes", %{tmp_dir: dir} do
      path = Path.join(dir, "out")
      bytes = :rand.bytes(200_000)
      assert {:ok, _} = rust(["echo"], stdin: bytes, stdout: File.stream!(path))
      assert File.read!(path) == bytes
      File.open!(path, [:write], fn file -> rust(["echo"], stdin: bytes, stdout: file) end)
      assert File.read!(path) == bytes
    end

    test "to a device that dies stops the guest" do
      {:ok, device} = StringIO.open("")
      StringIO.close(device)

      assert {:error, %Error{reason: :output, run: %Run{}} = error} =
               rust(["flood"], stdout: device)

      assert Exception.message(error) =~ "stdout"
    end

    test "to a full disk stops the guest" do
      if File.exists?("/dev/full") do
        {:ok, full} = File.open("/dev/full", [:write])
        assert {:error, %Error{reason: :output}} = rust(["flood"], stdout: full)
      end
    end

    test "to a file on a full disk is an error that the guest sees" do
      if File.exists?("/dev/full") do
        assert {:ok, %Run{status: 1, stderr: err}} =
                 rust(["write", "/dev/full", "x"], dirs: %{"/dev" => "/dev"})

        assert err =~ "space"
      end
    end

    test "to a function that raises goes through, and the guest is stopped" do
      assert_raise RuntimeError, "enough", fn ->
        rust(["flood"], stdout: fn _ -> raise "enough" end)
      end
    end

    test "has a limit" do
      assert {:error, %Error{reason: :output_limit, run: run} = error} =
               rust(["flood"], max_output: 100_000)

      assert byte_size(run.stdout) == 100_000
      assert Exception.message(error) =~ "100000"

      counter = :counters.new(1, [])
      count = fn bytes -> :counters.add(counter, 1, byte_size(bytes)) end

      assert {:error, %Error{reason: :output_limit}} =
               rust(["flood"], max_output: 1_000_000, stdout: count)

      assert :counters.get(counter, 1) == 1_000_000
      # Exactly the limit is allowed.
      assert {:ok, %Run{stdout: "1234"}} = rust(["echo"], stdin: "1234", max_output: 4)

      assert {:error, %Error{reason: :output_limit}} =
               rust(["echo"], stdin: "12345", max_output: 4)
    end

    test "that is captured has a limit without being asked" do
      assert {:error, %Error{reason: :output_limit, details: %{limit: limit}}} = rust(["flood"])
      assert limit == 64 * 1024 * 1024
    end
  end

  describe "limits" do
    test "of time" do
      for args <- [["spin"], ["sleep", "60000"], ["echo"]] do
        {:ok, never} = Pipe.new(mode: :stream)

        assert {:error, %Error{reason: :timeout, run: %Run{status: nil}}} =
                 rust(args, timeout: 20, stdin: never)
      end

      assert {:error, %Error{reason: :timeout}} = rust(["flood"], timeout: 20, stdout: :null)
    end

    test "of fuel" do
      assert {:error, %Trap{code: :out_of_fuel, run: run}} = rust(["spin"], fuel: 1_000_000)
      assert run.fuel_used == 1_000_000
      {:ok, module} = Module.compile(Wasmex.Engine.default(), File.read!(@rust))
      assert {:error, %Error{reason: :fuel_disabled}} = Wasmex.run(module, ["spin"], fuel: 10)
    end

    test "of memory" do
      assert {:error, %Error{}} = rust(["args"], max_memory: 65_536)
      assert {:ok, %Run{peak_memory: peak}} = rust(["grow"], max_memory: 10_000_000)
      assert peak <= 10_000_000
    end
  end

  describe "directories" do
    @describetag :tmp_dir

    setup %{tmp_dir: dir} do
      File.write!(Path.join(dir, "in.txt"), "inside")
      File.ln_s!("/etc/passwd", Path.join(dir, "link"))
      {:ok, dir: dir}
    end

    test "are granted for reading and writing, or reading alone", %{dir: dir} do
      assert {:ok, %Run{stdout: "inside"}} =
               rust(["cat", "/d/in.txt"], dirs: %{"/d" => {dir, :ro}})

      assert {:ok, %Run{status: 1}} = rust(["write", "/d/new", "x"], dirs: %{"/d" => {dir, :ro}})
      refute File.exists?(Path.join(dir, "new"))
      assert {:ok, %Run{status: 0}} = rust(["write", "/d/new", "x"], dirs: %{"/d" => dir})
      assert File.read!(Path.join(dir, "new")) == "x"
    end

    test "can't be left, and the trace shows it", %{dir: dir} do
      for path <- ["/d/../../etc/passwd", "/d/link"] do
        events = start_supervised!({Agent, fn -> [] end}, id: path)
        trace = fn event -> Agent.update(events, &[event | &1]) end

        assert {:ok, %Run{status: 1, stdout: ""}} =
                 rust(["cat", path], dirs: %{"/d" => dir}, trace: trace)

        opened = for %{name: "path_open"} = event <- Agent.get(events, & &1), do: event.result
        assert :perm in opened or :notcapable in opened
      end
    end

    test "that are missing are named" do
      assert {:error, %Error{reason: :wasi} = error} = rust(["args"], dirs: %{"/d" => "/no/such"})
      assert Exception.message(error) =~ ~s|"/no/such"|
      assert {:error, %Error{reason: :wasi}} = rust(["args"], dirs: %{"/d" => "mix.exs"})
    end
  end

  describe "not a program" do
    test "says what it is and what to do" do
      assert {:error, %Error{reason: :file} = error} = Wasmex.run("no/such.wasm")
      assert Exception.message(error) =~ "no such file"
      assert {:error, %Error{reason: :file}} = Wasmex.run("lib")

      assert {:error, %Error{reason: :not_a_program} = error} =
               Wasmex.run("test/guests/rust_reactor/rust_reactor.wasm")

      assert Exception.message(error) =~ "Wasmex.Instance.call/4"
      assert Exception.message(error) =~ ~s|"upcase"|
      assert {:error, %Error{reason: :compile}} = Wasmex.run(<<0, "asm", 1, 0, 0, 0, 99>>)
      assert {:error, %Error{reason: :parse}} = Wasmex.run("(module (nonsense))")
      assert {:error, %Error{reason: :parse}} = Wasmex.run("README.md")
      assert {:error, %Error{reason: :not_a_program}} = Wasmex.run("(component)")

      assert {:error, %Error{reason: :missing_import}} =
               Wasmex.run(~s|(module (import "a" "b" (func)) (func (export "_start")))|)
    end

    test "raises where the caller is wrong" do
      assert_raise ArgumentError,
                   ~r/unknown option :stdn in Wasmex.run.3; did you mean :stdin/,
                   fn ->
                     rust([], stdn: "")
                   end

      assert_raise ArgumentError, ~r/args/, fn -> rust(["a", 1]) end
      assert_raise ArgumentError, ~r/timeout/, fn -> rust([], timeout: -1) end
      assert_raise ArgumentError, ~r/env/, fn -> rust([], env: %{"A" => 1}) end
      assert_raise ArgumentError, ~r/:env.*without =/, fn -> rust([], env: %{"A=B" => "1"}) end
      assert_raise ArgumentError, ~r/:env/, fn -> rust([], env: %{"A" => "a\0b"}) end
      assert_raise ArgumentError, ~r/dirs/, fn -> rust([], dirs: ["/a"]) end
      assert_raise ArgumentError, ~r/stdout/, fn -> rust([], stdout: 5) end
      assert_raise ArgumentError, ~r/stdin/, fn -> rust([], stdin: 5) end
      assert_raise ArgumentError, ~r/program/, fn -> Wasmex.run(5) end
      assert_raise ArgumentError, ~r/max_output/, fn -> rust([], max_output: :none) end
    end
  end
end
