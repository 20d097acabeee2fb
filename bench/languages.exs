# Languages as guests; started by bench/languages.
Code.require_file("support.exs", __DIR__)

defmodule Bench.Languages do
  @moduledoc "Interpreters, as components and as programs. Compiling is timed once; the other times are medians of five rounds."

  alias Wasmex.Components.{Component, Instance, Store, Template}
  alias Wasmex.{Engine, Module}

  @cache Path.join(System.get_env("XDG_CACHE_HOME") || Path.expand("~/.cache"), "wasmex")

  @components [
    {"Python (CPython)", "#{@cache}/components/python.wasm", "example:texts/texts@1.0.0"},
    {"JavaScript (SpiderMonkey)", "#{@cache}/components/javascript.wasm",
     "example:texts/texts@1.0.0"},
    {"JavaScript (QuickJS)", "test/guests/component_js/component_js.wasm", "test:js/texts@1.0.0"}
  ]

  @programs [
    {"JavaScript (QuickJS)", "examples/interpreters/javascript/javascript.wasm", ["print(1)"]},
    {"Python (RustPython)", "#{@cache}/interpreters/python.wasm", ["-c", "print(1)"]},
    {"Python (RustPython), `import json`", "#{@cache}/interpreters/python.wasm",
     ["-c", "import json; print(1)"]}
  ]

  def run do
    table(
      ["component", "MB", "compile ms", "load ms", "instance ms", "words(\"b a b\") µs"],
      for(
        {name, path, texts} <- @components,
        File.exists?(path),
        do: component(name, path, texts)
      )
    )

    table(
      ["program", "MB", "compile ms", "load ms", "run ms", "memory MB"],
      for({name, path, args} <- @programs, File.exists?(path), do: program(name, path, args))
    )

    for {name, path, _} <- @components ++ @programs,
        not File.exists?(path),
        do: IO.puts("#{name} is not built: script/components, script/interpreters")
  end

  defp component(name, path, texts) do
    bytes = File.read!(path)
    {compile, {:ok, component}} = :timer.tc(fn -> Component.compile(Engine.default(), bytes) end)
    {:ok, artefact} = Component.serialize(component)
    {:ok, template} = Template.new(component, %{})
    instance = instance(template)

    [
      name,
      megabytes(bytes),
      ms(compile),
      ms(Bench.per_op(1, fn 1 -> {:ok, _} = Component.deserialize(artefact) end)),
      ms(Bench.per_op(20, &Bench.times(&1, fn -> instance(template) end))),
      us(Bench.per_op(2_000, &Bench.times(&1, fn -> words(instance, texts) end)))
    ]
  end

  defp instance(template) do
    {:ok, store} = Store.new_wasi(%Wasmex.Wasi.WasiP2Options{})
    {:ok, instance} = Template.instantiate(template, store)
    instance
  end

  defp words(instance, texts),
    do: {:ok, ["a", "b"]} = Instance.call(instance, {texts, "words"}, ["b a b"])

  defp program(name, path, args) do
    bytes = File.read!(path)
    {compile, {:ok, module}} = :timer.tc(fn -> Module.compile(Engine.default(), bytes) end)
    {:ok, artefact} = Module.serialize(module)
    {:ok, %{status: 0, stdout: "1\n", peak_memory: memory}} = Wasmex.run(module, args)

    [
      name,
      megabytes(bytes),
      ms(compile),
      ms(Bench.per_op(1, fn 1 -> {:ok, _} = Module.deserialize(artefact) end)),
      ms(
        Bench.per_op(
          20,
          &Bench.times(&1, fn -> {:ok, %{status: 0}} = Wasmex.run(module, args) end)
        )
      ),
      Float.round(memory / 1.0e6, 1)
    ]
  end

  defp megabytes(bytes), do: Float.round(byte_size(bytes) / 1.0e6, 1)
  defp ms(us), do: Float.round(us / 1000, 2)
  defp us(us), do: Float.round(us, 1)

  defp table([_ | others] = head, rows) do
    IO.puts(
      "\n| #{Enum.join(head, " | ")} |\n|---|#{Enum.map_join(others, "|", fn _ -> "--:" end)}|"
    )

    for row <- rows, do: IO.puts("| #{Enum.join(row, " | ")} |")
  end
end

Bench.Languages.run()
