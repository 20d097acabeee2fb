defmodule Bench.Snapshot do
  @moduledoc "Time to the first result, with a starting runtime and with a snapshot."

  import Bench
  alias Wasmex.{Engine, Instance, Linker, Module, Snapshot, Store, Template}
  alias Wasmex.Components
  alias Wasmex.Components.Component
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @go "test/guests/go_greet/go_greet.wasm"

  def run(quick?) do
    n = if quick?, do: 20, else: 500
    {:ok, snapshot} = Snapshot.take(@go)

    [started, begun, pooled] = [
      prepared(File.read!(@go)),
      prepared(snapshot.bytes),
      prepared(snapshot.bytes, pooling())
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
        goal: "100 µs",
        test: {:at_most, 100},
        readme: true
      )
    ] ++ script(n) ++ shared(if(quick?, do: {4, 100}, else: {20, 1_000}))
  end

  @js "test/guests/component_js/component_js.wasm"

  # Memories of ended instances are kept and reset to the image, instead of being mapped again.
  defp pooling do
    Engine.shared(
      pooling: 100,
      pooling_memory_size: 128 * 1024 * 1024,
      pooling_keep_resident: 1024 * 1024
    )
  end

  # componentize-qjs and componentize-py snapshot the interpreter with its script loaded. The one with Python is measured where
  # script/components has built it.
  defp script(n) do
    python =
      Path.join([
        System.get_env("XDG_CACHE_HOME") || Path.expand("~/.cache"),
        "wasmex/components/python.wasm"
      ])

    for {what, path, interface, goal} <- [
          {"QuickJS", @js, "test:js/texts@1.0.0", 100},
          {"CPython", python, "example:texts/texts@1.0.0", 1_000}
        ],
        File.exists?(path),
        {how, engine, goal} <- [
          {"", Engine.default(), []},
          {", pooled", pooling(), [goal: "#{goal} µs", test: {:at_most, goal}, readme: true]}
        ] do
      {:ok, component} = Component.compile(engine, File.read!(path))
      {:ok, template} = Components.Template.new(component, %{})

      row(
        "a #{what} component with its script loaded#{how}",
        per_op(max(div(n, 5), 2), &scripts({template, engine}, [interface, "words"], &1)),
        "µs",
        goal
      )
    end
  end

  defp scripts(_made, _path, 0), do: :ok

  defp scripts({template, engine} = made, path, n) do
    {:ok, store} = Components.Store.new_wasi(%WasiP2Options{}, nil, engine)
    {:ok, instance} = Components.Template.instantiate(template, store)
    {:ok, _} = Components.Instance.call(instance, path, ["one two"])
    Components.Store.close(store)
    scripts(made, path, n - 1)
  end

  # All of them have been called. PSS counts a page that n mappings share as 1/n.
  defp shared({mib, count}) do
    wat = ~s|(module (memory #{mib * 16})
      (func (export "warm") (memory.fill (i32.const 0) (i32.const 7) (i32.const #{mib * 1024 * 1024})))
      (func (export "add") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (local.get 0)) (i32.add (local.get 0) (local.get 1))))|

    {:ok, snapshot} = Snapshot.take({:bytes, wat}, init: "warm")
    {template, engine} = prepared(snapshot.bytes)

    make = fn _ ->
      {:ok, store} = Store.new_wasi(%WasiOptions{}, nil, engine)
      {:ok, instance} = Template.instantiate(template, store)
      {:ok, [3]} = Instance.call(instance, "add", [1, 2])
      {store, instance}
    end

    # The second half counts: while the first is made, the VM still gives back memory of earlier measurements.
    {first, second} = Enum.split(Enum.to_list(1..count), div(count, 2))
    kept = Enum.map(first, make)
    before = pss()
    kept = Enum.map(second, make) ++ kept
    each = before && (pss() - before) / length(second)
    for {store, _instance} <- kept, do: Store.close(store)

    if each do
      [
        row("PSS of an instance of a snapshot of #{mib} MiB (of #{count})", each, "KiB",
          goal: "a hundredth of its memory",
          test: {:at_most, mib * 1024 / 100}
        )
      ]
    else
      []
    end
  end

  # KiB; nil where there is no such file.
  defp pss do
    with {:ok, text} <- File.read("/proc/self/smaps_rollup"),
         [_, kib] <- Regex.run(~r/^Pss:\s+(\d+)/m, text) do
      String.to_integer(kib)
    else
      _ -> nil
    end
  end

  defp prepared(bytes, engine \\ Engine.default()) do
    {:ok, module} = Module.compile(engine, bytes)

    # Its other imports are not called here.
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
