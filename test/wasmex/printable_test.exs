defmodule Wasmex.PrintableTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Inspection, Instance, Module, Printable, Profile, Store}

  @evil "e\e[31m\nfake\u202E\u0085\u200B"
  @shown "e\\e[31m\\nfake\\u202E\\u0085\\u200B"

  test "what a terminal obeys is escaped, the rest stays" do
    assert Printable.line(@evil) == @shown
    assert Printable.text("a\n\tb\r\0c") == "a\n\tb\\r\\u0000c"
    assert Printable.text("naïve Łódź 日本 🙂") == "naïve Łódź 日本 🙂"
    assert Printable.text("caf\xE9\e") == ~S|"caf\xE9\e"|
  end

  test "names are cut between characters" do
    assert Printable.name(String.duplicate("x", 256)) == String.duplicate("x", 256)
    assert Printable.name(String.duplicate("é", 200)) == String.duplicate("é", 128) <> "…"

    assert Printable.name("x" <> String.duplicate("é", 200)) ==
             "x" <> String.duplicate("é", 127) <> "…"
  end

  test "both sides have the same characters" do
    rust = File.read!("native/wasmex/src/vm/demangle.rs")
    [_, steers] = String.split(rust, "fn steers")

    escaped =
      for [_, first | last] <- Regex.scan(~r/'\\u\{(\w+)\}'(?:\.\.='\\u\{(\w+)\}')?/, steers),
          char <- hex(first)..hex(List.first(last) || first),
          do: char

    assert length(escaped) > 150
    for char <- escaped, do: refute(Printable.line(<<char::utf8>>) == <<char::utf8>>)

    all = Enum.concat([0..0xD7FF, 0xE000..0xFFFF, 0xE0000..0xE0FFF])
    controls = Enum.concat(0..0x1F, 0x7F..0x9F)
    ours = for char <- all, Printable.line(<<char::utf8>>) != <<char::utf8>>, do: char
    assert Enum.sort(ours) == Enum.sort(controls ++ escaped)
    assert Enum.filter(all, &Printable.steers?/1) == ours
  end

  test "structs with text of a guest are inspected without what a terminal obeys" do
    names = %{namespace: @evil, name: @evil, names: [{@evil, @evil}]}

    for struct <- [
          %Error{reason: :missing_import, details: names},
          %Error{reason: :unknown_export, details: %{@evil => [@evil]}},
          %Wasmex.Run{stdout: @evil, stderr: @evil},
          %Wasmex.Trace{name: @evil, args: [path: @evil], result: {:returned, @evil}},
          %Inspection{name: @evil, exports: [%{name: @evil, type: {:fn, [], []}}]},
          %Wasmex.Plugin.Manifest{wasm: [%{source: {:path, @evil}, name: @evil, hash: nil}]},
          %Wasmex.HTTP.Request{path: @evil, headers: [{"x", @evil}]},
          %Wasmex.HTTP.Response{body: @evil, log: @evil}
        ],
        colours <- [[], [string: :red]] do
      text = inspect({:error, struct}, syntax_colors: colours)
      assert text =~ "fake"
      refute text =~ ~r/[\n\x{85}\x{200b}\x{202e}]/u
      assert inspect(struct, limit: 1) =~ inspect(struct.__struct__)
    end

    # All else is as Elixir inspects structs.
    error = %Error{reason: :closed, details: %{a: "ü", b: <<255>>, c: [{1.5, "x"}], d: self()}}
    # From Elixir 1.19 on with the options.
    doc = with {doc, %Inspect.Opts{}} <- Inspect.Any.inspect(error, %Inspect.Opts{}), do: doc

    usual = Inspect.Algebra.format(doc, :infinity)
    assert inspect(error) == IO.iodata_to_binary(usual)
  end

  defp hex(digits), do: String.to_integer(digits, 16)

  test "names of imports are escaped in all texts" do
    wat = ~s|(module (import "e\\1b[31m\\0afake\\u{202e}\\u{85}\\u{200b}" "\\1b[2J" (func)))|
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)

    assert {:error, "unknown import: `#{@shown}::\\e[2J` has not been defined"} ==
             Instance.new(store, module, %{})

    assert {:error, %Error{reason: :missing_import} = error} =
             Wasmex.run(String.replace(wat, ~r|\)$|, ~s| (func (export "_start")))|))

    assert Exception.message(error) =~ @shown
    refute Exception.message(error) =~ ~r/[\e\n\x{202e}]/u

    {:ok, inspection} = Inspection.from_bytes(wat)
    refute Inspection.Report.text(inspection, "f") =~ ~r/[\e\x{202e}]/u
  end

  test "names are on one line in all texts" do
    escaped = @evil |> to_charlist() |> Enum.map_join(&"\\u{#{Integer.to_string(&1, 16)}}")
    {:ok, store} = Store.new()

    wat =
      ~s|(module (import "#{escaped}" "f" (func $f (param i32))) (memory (export "memory") 1)
        (func (export "#{escaped}") (result i32) (i32.const 0)) (func (export "_start") (call $f (i32.const 1))))|

    {:ok, module} = Module.compile(store, wat)
    {:ok, library} = Module.compile(store, ~s|(module (func (export "f") (param i32)))|)
    returns = &{:fn, &1, [], fn _context, _ -> @evil end}
    imports = %{@evil => %{"f" => returns.([:i32])}}
    link = %{name: @evil, module: library}
    {:ok, instance} = Instance.new(store, module, imports)
    test = self()
    trace = &send(test, {:trace, &1})
    {:ok, _} = Wasmex.run(wat, [], imports: imports, trace: trace)
    assert_received {:trace, %Wasmex.Trace{namespace: @evil} = event}

    {:ok, plugin} =
      Wasmex.Plugin.new(
        {:bytes, String.replace(wat, ~r/\(import.*?\)\)\)/, "(func $f (param i32))")},
        []
      )

    manifest = fn wasm -> Wasmex.Plugin.new(%{"wasm" => [wasm]}, []) end
    data = Base.encode64("(module)")

    texts = [
      Instance.call(instance, "x" <> @evil, []),
      Instance.new(store, module, %{@evil => %{"f" => returns.([:i64])}}),
      Instance.instantiate(store, module, %{@evil => %{"f" => returns.([:i64])}}),
      Instance.instantiate(store, module, imports, [link]),
      Instance.get_global_value(store, instance, "x" <> @evil),
      Instance.call_compat(instance, "x" <> @evil, [], 1_000),
      Wasmex.Components.start_link(bytes: "(component)")
      |> elem(1)
      |> Wasmex.Components.call_function([@evil, @evil], []),
      Wasmex.run("/none/" <> @evil),
      Inspection.read("/none/" <> @evil),
      Wasmex.HTTP.load("/none/" <> @evil),
      manifest.(%{"path" => "/none/" <> @evil}),
      manifest.(%{"url" => "http://" <> @evil}),
      manifest.(%{"data" => data, "hash" => @evil}),
      {:ok, Wasmex.Trace.format(event)},
      {:ok, inspect(plugin)},
      {:ok, inspect(module)},
      raised(fn -> Instance.instantiate(store, module, %{@evil => %{"f" => {:fn, [], [], 1}}}) end),
      raised(fn -> Instance.instantiate(store, module, %{@evil => @evil}) end),
      raised(fn -> Wasmex.run(wat, @evil) end)
    ]

    for {text, index} <- Enum.with_index(texts) do
      text = message(text)
      assert {index, String.valid?(text)} == {index, true}
      steers = ~r/\nfake|[\e\x{85}\x{200b}\x{202e}]/u
      assert {index, Regex.run(steers, text)} == {index, nil}
    end
  end

  defp raised(function) do
    function.()
  rescue
    error in ArgumentError -> {:error, error}
  end

  defp message({:ok, text}), do: text
  defp message({:error, text}) when is_binary(text), do: text
  defp message({:error, error}), do: Exception.message(error)

  test "names of functions are escaped in profiles" do
    profile = %Profile{name: @evil, json: "{}", stacks: [{[@evil, "<b>"], 2}]}
    assert Profile.folded(profile) == "#{@shown};<b> 2\n"
    svg = Profile.flame_graph(profile)
    refute svg =~ ~r/[\e\x{202e}]/u
    refute svg =~ "<b>"
  end

  test "an error stays short where names are long or many" do
    long = String.duplicate("x", 60_000)

    for names <- [Enum.map(1..100, &"#{&1}#{long}"), Enum.map(1..100_000, &"name #{&1}")] do
      details = %{kind: :func, name: "f", names: names}
      error = %Error{reason: :unknown_export, details: details}
      assert byte_size(Exception.message(error)) < 10_000
    end
  end

  test "errors say what is wrong, and don't guess" do
    wat =
      ~s|(module (import "wasi_snapshot_preview1" "sock_unheard_of" (func)) (func (export "_start")))|

    assert {:error, %Error{reason: :missing_import} = error} = Wasmex.run(wat)
    assert Exception.message(error) =~ "this host does not provide"
    refute Exception.message(error) =~ "enable"

    assert {:error, %Error{reason: :not_a_program} = error} =
             Wasmex.run(~s|(module (func (export "_start") (param i32)))|)

    assert Exception.message(error) =~ "has the wrong type"

    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, ~s|(module (func $i (export "f") unreachable))|)
    {:ok, instance} = Instance.new(store, module, %{})
    assert {:error, trap} = Instance.call(instance, "f", [])
    assert trap.detail =~ "!i\n"
  end
end
