defmodule Bench.Call do
  @moduledoc "Calls, imports, the server, memory: the most frequent operations."

  import Bench
  alias Wasmex.{Instance, Memory}

  def run(quick?) do
    n = if quick?, do: 50_000, else: 1_000_000
    {store, instance} = guest()
    {:ok, memory} = Memory.from_instance(store, instance)
    direct = per_op(n, &calls(instance, &1))
    round_trip = round_trip(n)

    [
      row("Instance.call of add", direct, "µs",
        rust: "call",
        goal: "1.6x",
        test: {:ratio, 1.6},
        readme: true
      ),
      row(
        "import call from a guest loop",
        per_op(n, &Instance.call!(instance, "imports", [&1])),
        "µs",
        rust: "import",
        goal: "2x",
        test: {:ratio, 2},
        readme: true
      ),
      row("Wasmex.call_function", server(n), "µs",
        goal:
          "direct + 1.1 µs (#{Float.round(direct + 1.1, 2)} µs; a GenServer round trip is #{Float.round(round_trip, 2)} µs)",
        test: {:at_most, direct + 1.1},
        readme: true
      ),
      row("read 64 bytes", per_op(n, &reads(store, memory, 64, &1)), "µs",
        rust: "copy_64",
        goal: "0.15 µs",
        test: {:at_most, 0.15}
      ),
      row("write 64 bytes", per_op(n, &writes(store, memory, <<0::512>>, &1)), "µs",
        rust: "copy_64",
        goal: "0.15 µs",
        test: {:at_most, 0.15}
      ),
      row("read 1 MiB", per_op(div(n, 1000), &reads(store, memory, 1_048_576, &1)), "µs",
        rust: "copy_1m",
        goal: "memory-copy speed"
      ),
      row(
        "write 1 MiB",
        per_op(div(n, 1000), &writes(store, memory, :binary.copy(<<7>>, 1_048_576), &1)),
        "µs",
        rust: "copy_1m",
        goal: "memory-copy speed"
      )
    ]
  end

  defp calls(_instance, 0), do: :ok

  defp calls(instance, n) do
    {:ok, _} = Instance.call(instance, "add", [40, 2])
    calls(instance, n - 1)
  end

  defp reads(_store, _memory, _size, 0), do: :ok

  defp reads(store, memory, size, n) do
    Memory.read_binary(store, memory, 0, size)
    reads(store, memory, size, n - 1)
  end

  defp writes(_store, _memory, _binary, 0), do: :ok

  defp writes(store, memory, binary, n) do
    Memory.write_binary(store, memory, 0, binary)
    writes(store, memory, binary, n - 1)
  end

  defp server(n) do
    imports = %{env: %{id: {:fn, [:i32], [:i32], fn _context, n -> n end}}}
    {:ok, pid} = Wasmex.start_link(%{bytes: guest_wat(), imports: imports})
    per_op(div(n, 5), &server_calls(pid, &1))
  end

  defp server_calls(_pid, 0), do: :ok

  defp server_calls(pid, n) do
    {:ok, _} = Wasmex.call_function(pid, "add", [40, 2])
    server_calls(pid, n - 1)
  end

  defmodule Echo do
    @moduledoc "The minimum cost of a GenServer call."
    use GenServer

    @impl true
    def init(state), do: {:ok, state}

    @impl true
    def handle_call({:call_function, _name, _params, _timeout}, _from, state),
      do: {:reply, {:ok, [42]}, state}
  end

  defp round_trip(n) do
    {:ok, pid} = GenServer.start_link(Echo, nil)
    per_op(div(n, 5), &echoes(pid, &1))
  end

  defp echoes(_pid, 0), do: :ok

  defp echoes(pid, n) do
    {:ok, _} = GenServer.call(pid, {:call_function, "add", [40, 2], 5000}, 5000)
    echoes(pid, n - 1)
  end
end
