defmodule Wasmex.PipeTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Exit, Guest, Instance, Pipe, Store}
  alias Wasmex.Wasi.WasiOptions

  describe "a buffer" do
    test "has one cursor for reading and writing" do
      {:ok, pipe} = Pipe.new()
      assert Pipe.write(pipe, "Hello, World!") == {:ok, 13}
      assert Pipe.read(pipe) == ""
      assert Pipe.seek(pipe, 7) == :ok
      assert Pipe.write(pipe, "Wasmex") == {:ok, 6}
      assert Pipe.seek(pipe, 0) == :ok
      assert Pipe.read(pipe) == "Hello, Wasmex"
      assert Pipe.size(pipe) == 13
    end

    test "takes any bytes and fills gaps with zeros" do
      {:ok, pipe} = Pipe.new()
      Pipe.seek(pipe, 2)
      assert Pipe.write(pipe, [255, <<254>>]) == {:ok, 2}
      assert Guest.text(pipe) == <<0, 0, 255, 254>>
    end

    test "refuses more than its capacity" do
      {:ok, pipe} = Pipe.new(capacity: 4)
      assert {:error, %Error{reason: :full, details: %{written: 4}}} = Pipe.write(pipe, "12345")
      assert Pipe.size(pipe) == 4
    end

    test "wrong arguments raise" do
      {:ok, pipe} = Pipe.new()

      for position <- [-1, 1.0, nil],
          do: assert_raise(ArgumentError, fn -> Pipe.seek(pipe, position) end)

      assert_raise ArgumentError, fn -> Pipe.new(mode: :other) end
      assert_raise ArgumentError, fn -> Pipe.new(capacity: 0) end
    end

    test "the end of file is not for ever" do
      pipe = Guest.input("one")
      {:ok, stdout} = Pipe.new()
      {:ok, store} = Store.new_wasi(%WasiOptions{stdin: pipe, stdout: stdout})
      {_, instance} = Guest.start(Guest.bytes("go_greet"), %{}, store)
      {:ok, []} = Instance.call(instance, "greet", [])
      Pipe.seek(pipe, 0)
      Pipe.write(pipe, "two")
      Pipe.seek(pipe, 0)
      {:ok, []} = Instance.call(instance, "greet", [])
      assert Guest.text(stdout) == "👋 Data from Elixir: one👋 Data from Elixir: two"
    end
  end

  describe "a stream" do
    test "is read as it is written, until it is closed" do
      {:ok, pipe} = Pipe.new(mode: :stream)
      reader = Task.async(fn -> pipe |> Pipe.stream!() |> Enum.join() end)
      Enum.into(["a", "b", <<0, 255>>], pipe)
      Pipe.close(pipe)
      assert Task.await(reader, :infinity) == <<"ab", 0, 255>>
      assert {:error, %Error{reason: :closed}} = Pipe.write(pipe, "x")
      assert Pipe.recv(pipe) == :eof
      assert_raise ArgumentError, fn -> Pipe.seek(pipe, 0) end
    end

    test "makes writers wait for room" do
      {:ok, pipe} = Pipe.new(mode: :stream, capacity: 10)
      writer = Task.async(fn -> Pipe.write(pipe, :binary.copy("x", 100)) end)
      Guest.wait_until(fn -> Pipe.size(pipe) == 10 end)
      reader = Task.async(fn -> pipe |> Pipe.stream!() |> Enum.join() |> byte_size() end)
      assert Task.await(writer, :infinity) == {:ok, 100}
      Pipe.close(pipe)
      assert Task.await(reader, :infinity) == 100
    end

    test "is not waited for when the time makes no sense" do
      {:ok, pipe} = Pipe.new(mode: :stream, capacity: 1)

      for wrong <- [-1, :soon, nil] do
        assert_raise ArgumentError, ~r/milliseconds or :infinity as timeout/, fn ->
          Pipe.recv(pipe, wrong)
        end

        assert_raise ArgumentError, ~r/milliseconds or :infinity as timeout/, fn ->
          Pipe.write(pipe, "xy", wrong)
        end
      end

      Pipe.write(pipe, "x")
      assert Process.info(self(), :messages) == {:messages, []}
      Pipe.close(pipe)
      assert {:error, error} = Pipe.write(pipe, "y")
      assert Exception.message(error) == "the pipe is closed"
    end

    test "has writers that wait, and leave each other alone" do
      {:ok, pipe} = Pipe.new(mode: :stream, capacity: 10)
      {:ok, 10} = Pipe.write(pipe, "0123456789")
      writers = for _ <- 1..2, do: Task.async(fn -> Pipe.write(pipe, "more") end)
      work = fn -> for task <- writers, do: Process.info(task.pid, :reductions) end

      # Those that wake each other never come to rest.
      Guest.wait_until(fn ->
        before = work.()
        Process.sleep(50)
        work.() == before
      end)

      Pipe.close(pipe)
      assert [{:error, _}, {:error, _}] = Task.await_many(writers, :infinity)
    end

    test "waits only as long as it is told" do
      {:ok, pipe} = Pipe.new(mode: :stream, capacity: 1)
      assert {:error, %Error{reason: :timeout}} = Pipe.recv(pipe, 5)
      {:ok, 1} = Pipe.write(pipe, "x")
      assert {:error, %Error{reason: :timeout}} = Pipe.write(pipe, "y", 5)
      assert Pipe.read(pipe) == "x"
      assert Pipe.read(pipe) == ""
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "lets a guest wait for input and go on" do
      {:ok, stdin} = Pipe.new(mode: :stream)
      {:ok, stdout} = Pipe.new(mode: :stream)
      wasi = %WasiOptions{args: ["rust_wasi", "echo"], stdin: stdin, stdout: stdout}
      {:ok, store} = Store.new_wasi(wasi)
      {_, instance} = Guest.start(Guest.bytes("rust_wasi"), %{}, store)
      task = Task.async(fn -> Instance.call(instance, "_start", []) end)

      for text <- ["one", "two"] do
        Pipe.write(stdin, text)
        assert {:ok, ^text} = Pipe.recv(stdout)
      end

      Pipe.close(stdin)
      assert Task.await(task, :infinity) == {:ok, []}
    end

    test "slows a flooding guest down and never grows" do
      {:ok, stdout} = Pipe.new(mode: :stream, capacity: 1000)
      {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "flood"], stdout: stdout})
      {_, instance} = Guest.start(Guest.bytes("rust_wasi"), %{}, store)
      task = Task.async(fn -> Instance.call(instance, "_start", []) end)

      for _ <- 1..50 do
        assert Pipe.size(stdout) <= 1000
        assert {:ok, bytes} = Pipe.recv(stdout)
        assert byte_size(bytes) in 1..1000
      end

      Pipe.close(stdout)
      assert {:error, error} = Task.await(task, :infinity)
      assert error.__struct__ in [Exit, Wasmex.Trap]
    end

    test "stops a flooding guest at a buffer's capacity" do
      {:ok, stdout} = Pipe.new(capacity: 10_000)
      {:ok, store} = Store.new_wasi(%WasiOptions{args: ["rust_wasi", "flood"], stdout: stdout})
      {_, instance} = Guest.start(Guest.bytes("rust_wasi"), %{}, store)
      assert {:error, _} = Instance.call(instance, "_start", [], timeout: 20_000)
      assert Pipe.size(stdout) == 10_000
    end

    test "without a capacity it counts against the store, of modules and components" do
      mib = 1024 * 1024

      for {program, limit} <- [
            {"test/guests/rust_wasi/rust_wasi.wasm", 3 * mib},
            {"test/guests/component_command/component_command.wasm", 3 * mib}
          ] do
        {:ok, stdout} = Pipe.new()
        opts = [stdout: stdout, max_memory: limit, timeout: 60_000]
        assert {:ok, %{status: 1, stderr: text}} = Wasmex.run(program, ["flood"], opts)
        assert text =~ "space" or text =~ "os error"
        assert Pipe.size(stdout) == limit
        # What Elixir writes does not count, and nothing is lost.
        assert Pipe.write(stdout, "more") == {:ok, 4}
        assert byte_size(Guest.text(stdout)) == limit + 4
      end
    end

    test "so do both streams of a guest, and less than a mebibyte is no limit" do
      {:ok, [stdout, stderr]} = {:ok, for(_ <- 1..2, do: elem(Pipe.new(), 1))}
      options = %WasiOptions{stdout: stdout, stderr: stderr}
      {:ok, store} = Store.new_wasi(options, %Wasmex.StoreLimits{memory_size: 131_072})

      wat = ~S"""
      (module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (func (export "write") (param $fd i32) (result i32) (local $errno i32)
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 60000))
          (loop $again
            (local.set $errno (call $w (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 16)))
            (br_if $again (i32.eqz (local.get $errno))))
          (local.get $errno)))
      """

      {_, instance} = Guest.start(wat, %{}, store)

      for {fd, pipe} <- [{1, stdout}, {2, stderr}] do
        # `io`
        assert Instance.call(instance, "write", [fd], timeout: 60_000) == {:ok, [29]}
        assert Pipe.size(pipe) == 1024 * 1024
      end
    end
  end

  test "what is written far behind the end, by Elixir and by a guest, follows zeros" do
    {:ok, pipe} = Pipe.new()
    Pipe.seek(pipe, 3_000_000)
    assert {:ok, 1} = Pipe.write(pipe, "x")
    Pipe.seek(pipe, 6_000_000)
    echo = "test/guests/component_command/component_command.wasm"
    assert {:ok, %{status: 0}} = Wasmex.run(echo, ["hello"], stdout: pipe)
    Pipe.seek(pipe, 0)

    assert <<0::3_000_000-unit(8), "x", 0::2_999_999-unit(8), "hello from a component\n">> =
             Pipe.read(pipe)
  end
end
