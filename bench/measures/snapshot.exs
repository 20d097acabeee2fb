defmodule Bench.Snapshot do
  @moduledoc "From nothing to the first answer, with a runtime that starts and with a snapshot of one."

  import Bench
  alias Wasmex.{Engine, Instance, Linker, Module, Snapshot, Store, Template}
  alias Wasmex.Wasi.WasiOptions

  @go "test/guests/go_greet/go_greet.wasm"

  def run(quick?) do
    n = if quick?, do: 20, else: 500
    {:ok, snapshot} = Snapshot.take(@go)

    pooled =
      Engine.shared(
        pooling: 100,
        pooling_memory_size: 128 * 1024 * 1024,
        pooling_keep_resident: 1024 * 1024
      )

    [started, begun, pooled] = [
      prepared(File.read!(@go)),
      prepared(snapshot.bytes),
      prepared(snapshot.bytes, pooled)
    ]

    [
      row(
        "a Go reactor: to its first answer",
        per_op(n, &instances(started, &1)),
        "µs"
      ),
      row(
        "a Go reactor from a snapshot",
        per_op(n, &instances(begun, &1)),
        "µs"
      ),
      row(
        "a Go reactor from a snapshot, pooled",
        per_op(n, &instances(pooled, &1)),
        "µs",
        goal: "at most 100 µs",
        test: {:at_most, 100}
      )
    ]
  end

  defp prepared(bytes, engine \\ Engine.default()) do
    {:ok, module} = Module.compile(engine, bytes)

    # What it imports besides is not called here.
    imports =
      for {namespace, items} <- Module.imports(module),
          namespace != "wasi_snapshot_preview1",
          into: %{} do
        {namespace,
         for(
           {name, {:fn, params, results}} <- items,
           into: %{},
           do: {name, {:fn, params, results, nobody(length(params))}}
         )}
      end

    {:ok, template} = %Linker{imports: imports, wasi: true} |> Linker.instantiate_pre(module)
    {template, engine}
  end

  defp nobody(1), do: fn _, _ -> 0 end
  defp nobody(2), do: fn _, _, _ -> 0 end
  defp nobody(_), do: fn _ -> 0 end

  defp instances(_made, 0), do: :ok

  defp instances({template, engine} = made, n) do
    {:ok, store} = Store.new_wasi(%WasiOptions{}, nil, engine)
    {:ok, instance} = Template.instantiate(template, store)
    {:ok, [3]} = Instance.call(instance, "add", [1, 2])
    Store.close(store)
    instances(made, n - 1)
  end
end
