defmodule Bench.Programs do
  @moduledoc "WASI programs: the overhead of a run, and throughput of pipes."

  import Bench

  @go "test/guests/programs/go/program.wasm"
  @rust "test/guests/programs/rust/program.wasm"

  @cat ~S"""
  (module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 4)
    (func (export "_start")
      (loop $again
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 131072))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (if (i32.load (i32.const 4))
          (then
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $again))))))
  """

  @empty ~s|(module (memory (export "memory") 1) (func (export "_start")))|

  def run(quick?) do
    n = if quick?, do: 20, else: 200
    empty = template(@empty)
    cat = template(@cat)
    go = template(File.read!(@go))
    pooled = template(File.read!(@go), pooled_engine())
    {command, erl} = command(if quick?, do: 3, else: 21)

    [
      row("wasmex run of a Rust hello, the whole command", command, "ms",
        goal: "250 ms",
        test: {:at_most, 250}
      ),
      row("an empty erl, for comparison", erl, "ms"),
      row("Wasmex.run of an empty program", per_op(n * 50, &runs(empty, [], [], &1)), "µs",
        goal: "25 µs",
        test: {:at_most, 25},
        readme: true
      ),
      row("a Go hello", per_op(n, &runs(go, ["hello"], [], &1)), "µs",
        rust: "program",
        goal: "1.1x",
        test: {:ratio, 1.1},
        readme: true
      ),
      row(
        "the same, traced",
        per_op(n, &runs(@go, ["hello"], [trace: fn _ -> :ok end], &1)),
        "µs",
        rust: "program"
      ),
      row("the same, profiled", per_op(n, &runs(go, ["hello"], [profile: true], &1)), "µs",
        rust: "program"
      ),
      row("stdin to stdout", throughput(cat, quick?), "ns/kB",
        goal: "1000 ns/kB (1 GB/s)",
        test: {:at_most, 1000},
        readme: true
      ),
      row("the same as a stream", stream(cat, quick?), "ns/kB"),
      row("1,000 Go hellos at once, each", concurrent(go, quick?), "µs",
        rust: "programs_at_once",
        goal: "1.1x",
        test: {:ratio, 1.1}
      ),
      row("a Go hello, pooled", per_op(n, &runs(pooled, ["hello"], [], &1)), "µs",
        rust: "program_pooled",
        goal: "1.1x",
        test: {:ratio, 1.1},
        readme: true
      ),
      row("1,000 pooled Go hellos at once, each", concurrent(pooled, quick?), "µs",
        rust: "programs_pooled_at_once",
        goal: "1.1x",
        test: {:ratio, 1.1}
      )
    ]
  end

  # The installed command and an empty VM, in turns: the medians of their times. The first run fills the disk cache.
  defp command(n) do
    dir = Path.join(System.tmp_dir!(), "wasmex-bench-#{System.pid()}")
    {_, 0} = System.cmd("mix", ["wasmex.install", "--prefix", dir])
    wasmex = [Path.join(dir, "bin/wasmex"), "run", @rust, "hello"]
    erl = ["erl", "-noshell", "-eval", "halt()."]
    started(wasmex)

    {commands, vms} =
      1..n |> Enum.map(fn _ -> {started(wasmex), started(erl)} end) |> Enum.unzip()

    File.rm_rf!(dir)
    {median(commands), median(vms)}
  end

  # In milliseconds.
  defp started([program | args]) do
    {us, {_, 0}} = :timer.tc(fn -> System.cmd(program, args) end)
    us / 1000
  end

  # 4 MiB of each memory stay with its place: a Go program writes to two.
  defp pooled_engine do
    {:ok, engine} =
      Wasmex.Engine.new(%Wasmex.EngineConfig{
        pooling: 1000,
        pooling_keep_resident: 4 * 1024 * 1024
      })

    engine
  end

  defp runs(_program, _args, _opts, 0), do: :ok

  defp runs(program, args, opts, n) do
    {:ok, %{status: 0}} = Wasmex.run(program, args, opts)
    runs(program, args, opts, n - 1)
  end

  # Chunks of 1 MiB, so that the cost of the Enumerable is negligible.
  defp input(quick?), do: Stream.duplicate(:binary.copy("x", 1_048_576), megabytes(quick?))
  defp megabytes(quick?), do: if(quick?, do: 64, else: 1024)

  # Microseconds and MiB to nanoseconds and kB.
  defp per_kb(us, quick?), do: us * 1000 / (megabytes(quick?) * 1048.576)

  defp throughput(cat, quick?) do
    per_op(1, fn 1 -> Wasmex.run(cat, [], stdin: input(quick?), stdout: fn _ -> :ok end) end)
    |> per_kb(quick?)
  end

  defp stream(cat, quick?) do
    per_op(1, fn 1 -> quick? |> input() |> Wasmex.stream!(cat) |> Stream.run() end)
    |> per_kb(quick?)
  end

  # Elapsed time divided by their number: all cores work on them.
  defp concurrent(go, quick?) do
    n = if quick?, do: 100, else: 1000

    {us, _} =
      :timer.tc(fn ->
        1..n
        |> Enum.map(fn _ -> Task.async(fn -> runs(go, ["hello"], [], 1) end) end)
        |> Task.await_many(:infinity)
      end)

    us / n
  end
end
