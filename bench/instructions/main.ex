defmodule Bench.Probe do
  @moduledoc "Callgrind's client requests, see probe.c."
  @on_load :load

  def load, do: "PROBE" |> System.fetch_env!() |> String.to_charlist() |> :erlang.load_nif(0)
  def start, do: :erlang.nif_error(:not_loaded)
  def zero, do: :erlang.nif_error(:not_loaded)
  def dump(_name), do: :erlang.nif_error(:not_loaded)
end

defmodule Bench.Count do
  @moduledoc "Counts the operations named by the arguments, or all: started under valgrind by bench/instructions/run."

  def run do
    {:ok, _} = Application.ensure_all_started(:wasmex)
    only = :init.get_plain_arguments() |> Enum.map(&to_string/1)

    operations =
      for {name, _, _} = operation <- Bench.Operations.all(),
          only == [] or name in only,
          do: operation

    Bench.Probe.start()
    Enum.each(operations, &count/1)
    System.halt()
  end

  # One-time initialisation happens before. The minimum of three rounds counts: other work may have run in the others,
  # such as loading a module.
  defp count({name, n, run}) do
    run.(n)
    run.(n)

    for _ <- 1..3 do
      :erlang.garbage_collect()
      Bench.Probe.zero()
      run.(n)
      Bench.Probe.dump(~c"#{name} #{n}")
    end
  end
end
