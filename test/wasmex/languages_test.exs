defmodule Wasmex.LanguagesTest do
  # One program per language, all with the same subcommands: test/guests/programs/README.md.
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Run, Trap}

  @dir "test/guests/programs"
  @names %{"go" => "Go", "rust" => "Rust", "c" => "C", "zig" => "Zig", "as" => "AssemblyScript"}

  for {dir, name} <- @names do
    describe name do
      @program Path.join([@dir, dir, "program.wasm"])
      @language name

      test "arguments and environment" do
        opts = [env: %{"B" => "2", "A" => "ü"}]
        assert {:ok, %Run{status: 0, stdout: out}} = Wasmex.run(@program, ["hello", "Zoë"], opts)
        assert out == "Hello, Zoë, from #{@language}!\nA=ü\nB=2\n"
      end

      test "a filter that streams" do
        words = Stream.cycle(["lower Case\n", "x\n"])
        lines = words |> Wasmex.stream!(@program, ["upcase"], as: :lines) |> Enum.take(3)
        assert lines == ["LOWER CASE", "X", "LOWER CASE"]
        text = :binary.copy("a b\tc\n", 50_000)

        assert {:ok, %Run{stdout: "50000 150000 300000\n"}} =
                 Wasmex.run(@program, ["wc"], stdin: text)
      end

      test "exit statuses and failures" do
        assert {:ok, %Run{status: 3}} = Wasmex.run(@program, ["exit", "3"])
        assert {:ok, %Run{status: 0, stderr: "oh\n"}} = Wasmex.run(@program, ["stderr", "oh"])
        assert {:ok, %Run{status: 1, stderr: "unknown" <> _}} = Wasmex.run(@program, ["nonsense"])

        # Go's panic is an exit, those of the others are traps.
        case Wasmex.run(@program, ["panic"]) do
          {:error, %Trap{code: :unreachable, run: run}} -> assert run.stderr =~ "the guest panics"
          {:ok, %Run{status: 2, stderr: err}} -> assert err =~ "the guest panics"
        end
      end

      test "limits: time, memory, output" do
        assert {:ok, %Run{status: 0, duration: us}} = Wasmex.run(@program, ["sleep", "20"])
        assert us >= 20_000

        for args <- [["sleep", "60000"], ["spin"]],
            do:
              assert({:error, %Error{reason: :timeout}} = Wasmex.run(@program, args, timeout: 50))

        memory = 32 * 1024 * 1024

        case Wasmex.run(@program, ["eat"], max_memory: memory) do
          {:ok, %Run{status: status} = run} -> assert status != 0 and run.peak_memory <= memory
          {:error, %Trap{run: run}} -> assert run.peak_memory <= memory
        end

        assert {:error, %Error{reason: :output_limit, run: run}} =
                 Wasmex.run(@program, ["flood"], max_output: 10_000)

        assert byte_size(run.stdout) == 10_000
      end

      if dir in ["go", "rust", "c"] do
        @tag :tmp_dir
        test "files of a preopened directory", %{tmp_dir: dir} do
          bytes = :rand.bytes(200_000)
          File.write!(Path.join(dir, "a"), bytes)
          run = &Wasmex.run(@program, &1, dirs: %{"/d" => dir})

          assert {:ok, %Run{status: 0, stdout: "200000\n"}} = run.(["copy", "/d/a", "/d/b"])
          assert File.read!(Path.join(dir, "b")) == bytes
          assert {:ok, %Run{stdout: "a\nb\n"}} = run.(["ls", "/d"])
          assert {:ok, %Run{status: 1, stderr: err}} = run.(["copy", "/d/none", "/d/c"])
          assert err =~ ~r/no such file/i
          assert {:ok, %Run{status: 1}} = run.(["copy", "/d/../../etc/passwd", "/d/c"])
          assert {:ok, %Run{status: 1}} = run.(["copy", "/d/a", "/etc/new"])
        end
      end
    end
  end

  test "WAT by hand" do
    wat = &Path.join([@dir, "wat", &1 <> ".wat"])
    assert {:ok, %Run{stdout: "Hello, world, from WAT!\n"}} = Wasmex.run(wat.("hello"))
    assert {:ok, %Run{stdout: "Hello, Zoë, from WAT!\n"}} = Wasmex.run(wat.("hello"), ["Zoë"])
    assert {:ok, %Run{stdout: "LOUD"}} = Wasmex.run(wat.("upcase"), [], stdin: "loud")
    assert {:ok, %Run{status: 3}} = Wasmex.run(wat.("exit3"))
    assert {:error, %Error{reason: :timeout}} = Wasmex.run(wat.("spin"), [], timeout: 20)
  end
end
