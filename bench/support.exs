defmodule Bench do
  @moduledoc "Shared by the measurements: timing, system figures, guests."

  alias Wasmex.{Engine, Instance, Linker, Module, Store}

  @guest """
  (module
    (import "env" "id" (func $id (param i32) (result i32)))
    (memory (export "memory") 32)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "spin") (loop br 0))
    (func (export "imports") (param $n i32)
      (loop
        (drop (call $id (local.get $n)))
        (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  """

  @doc """
  Microseconds for one of `n` runs: the median of five rounds of `fun.(n)`. The row made of it also gets the CPU time of
  the whole VM in that round.
  """
  def per_op(n, fun) do
    {each, cpu} =
      for _ <- 1..5 do
        before = cpu_ms()
        {microseconds, _} = :timer.tc(fn -> fun.(n) end)
        {microseconds / n, (cpu_ms() - before) * 1000 / n}
      end
      |> median()

    Process.put({__MODULE__, each}, cpu)
    each
  end

  @doc "Runs a function so many times."
  def times(0, _fun), do: :ok

  def times(n, fun) do
    fun.()
    times(n - 1, fun)
  end

  # Of all threads, in user mode and in the kernel: `:erlang.statistics(:runtime)` leaves out the kernel, and page faults.
  defp cpu_ms do
    case Path.wildcard("/proc/self/task/*/schedstat") do
      [] -> :erlang.statistics(:runtime) |> elem(0)
      files -> Enum.sum(Enum.map(files, &on_cpu/1)) / 1_000_000
    end
  end

  # Nanoseconds. A thread may end before its file is read.
  defp on_cpu(file) do
    with {:ok, text} <- File.read(file),
         do: text |> String.split() |> hd() |> String.to_integer(),
         else: (_ -> 0)
  end

  def median(list), do: list |> Enum.sort() |> Enum.at(div(length(list), 2))

  def percentile(list, p) do
    sorted = Enum.sort(list)
    Enum.at(sorted, min(length(sorted) - 1, floor(length(sorted) * p / 100)))
  end

  @doc "A store and an instance of the guest above."
  def guest do
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, @guest)
    imports = %{env: %{id: {:fn, [:i32], [:i32], fn _context, n -> n end}}}
    {:ok, instance} = Instance.new(store, module, imports)
    {store, instance}
  end

  def guest_wat, do: @guest

  def template(wat, engine \\ Engine.default()) do
    {:ok, module} = Module.compile(engine, wat)
    {:ok, template} = Linker.new() |> Linker.allow_wasi() |> Linker.instantiate_pre(module)
    template
  end

  def compute_guest, do: File.read!("test/guests/zig_compute/zig_compute.wasm")

  @doc "KiB of resident memory, threads, and mappings of this VM; nil where there is no /proc."
  def rss, do: status("VmRSS:")
  def threads, do: status("Threads:")
  def page_tables, do: status("VmPTE:")

  def mappings do
    with {:ok, maps} <- File.read("/proc/self/maps"), do: length(String.split(maps, "\n")) - 1
  end

  defp status(key) do
    with {:ok, text} <- File.read("/proc/self/status"),
         line when line != nil <-
           text |> String.split("\n") |> Enum.find(&String.starts_with?(&1, key)) do
      line |> String.split() |> Enum.at(1) |> String.to_integer()
    else
      _ -> nil
    end
  end

  @doc """
  One row of the table. `rust` is the key of the baseline's figure to compare with, `goal` the most that the ratio or
  the value may be, `readme` whether README.md has this row, too.
  """
  def row(name, value, unit, opts \\ []) do
    %{
      name: name,
      value: value,
      cpu: Process.get({__MODULE__, value}),
      unit: unit,
      rust: opts[:rust],
      goal: opts[:goal],
      # The test for the goal: {:ratio, 1.8}, {:at_most, 0.45}, or nil.
      test: opts[:test],
      readme: opts[:readme] == true
    }
  end
end
