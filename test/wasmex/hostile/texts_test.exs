defmodule Wasmex.Hostile.TextsTest do
  # Texts and names that are small, and much once they are repeated.
  use ExUnit.Case, async: true

  import Wasmex.HostileBytes

  alias Wasmex.{ChildVM, Components, Engine, Error, Plugin, WIT}

  defp lines(count, line), do: Enum.map_join(1..count, "\n", line)
  defp world(text), do: WIT.world({:text, "package a:b;\n" <> text}, world: "w")

  test "interfaces that use one another in a long chain overflow no stack" do
    code = """
    chain = fn count ->
      Enum.map_join(1..count, "\\n", &"interface i\#{&1} { use i\#{&1 - 1}.{t}; }")
    end

    text = fn count ->
      "package a:b; interface i0 { type t = u8; } \#{chain.(count)} world w { import i\#{count}; }"
    end

    {:ok, world} = Wasmex.WIT.world({:text, text.(20_000)})
    20_001 = length(world.imports)

    {:error, %Wasmex.Error{reason: :too_large, details: %{limit: :text_work}}} =
      Wasmex.WIT.world({:text, text.(300_000)})
    """

    assert ChildVM.run(code) == {"", 0}
  end

  test "worlds that include others and interfaces with long names count as often as they are repeated" do
    worlds = lines(5_000, &"world w#{&1} { include w#{&1 - 1}; import a#{&1}: func(); }")
    long = String.duplicate("n", 500_000)
    imports = lines(5_000, &"import i#{&1};")

    for text <- [
          "world w0 {}\n#{worlds}\nworld w { include w5000; }",
          "interface #{long} { type t = u8; #{lines(5_000, &"f#{&1}: func(a: t);")} } world w { import #{long}; }",
          "#{lines(5_000, &"interface i#{&1} {}")} world w { #{imports} }"
          |> String.replace_prefix("", "package a:c@1.0.0-#{long} { } ")
        ] do
      assert {:error, %Error{reason: :too_large, details: %{limit: :text_work, offset: offset}}} =
               world(text)

      assert is_integer(offset)
    end
  end

  # A record with a field whose name has so many bytes, in a tuple of tuples of it.
  defp long_field(size, uses) do
    record = <<0x72, 1>> <> name("a" <> String.duplicate("n", size)) <> <<0x7D>>
    imported = section(10, vec([<<0>> <> name("r") <> <<3, 0, 0>>]))
    inner = <<0x6F>> <> vec(List.duplicate(sleb(1), 100))
    outer = <<0x6F>> <> vec(List.duplicate(sleb(2), div(uses, 100)))
    function = <<0x40, 1>> <> name("x") <> sleb(3) <> <<1, 0>>

    function = [
      section(7, vec([inner, outer, function])),
      section(10, vec([<<0>> <> name("f") <> <<1, 4>>]))
    ]

    component([section(7, vec([record])), imported | function])
  end

  test "the types of a component have each name once, however often it is used" do
    bytes = long_field(60_000, 50_000)
    {:ok, component} = Components.Component.compile(Engine.default(), bytes)

    assert %{"f" => {:func, [{"x", {:tuple, tuples}}], nil}} =
             Components.Component.imports(component)

    records = for {:tuple, records} <- tuples, record <- records, do: record
    assert length(records) == 50_000
    assert [{:record, [{name, :u8}]}] = Enum.uniq(records)
    assert byte_size(name) == 60_001
    {:binary, binaries} = Process.info(self(), :binary)

    assert binaries |> Enum.uniq_by(&elem(&1, 0)) |> Enum.map(&elem(&1, 1)) |> Enum.sum() <
             10_000_000

    # And a message has only the beginning of a type.
    assert {:error, error} = Components.start_link(%{bytes: bytes, imports: %{}})
    assert byte_size(message(error)) < 10_000
  end

  test "what a component passes to others counts each time" do
    pairs = for level <- 0..17, do: <<0x6F, 2, level, level>>

    types =
      section(7, vec([<<0x70, 0x7D>> | pairs] ++ [<<0x40, 1>> <> name("x") <> <<18, 1, 0>>]))

    import = section(10, vec([<<0>> <> name("f") <> <<1, 19>>]))
    instance = <<0, 0>> <> vec([name("f") <> <<1, 0>>])
    parts = [types, import, section(4, component([types, import]))]
    bytes = component(parts ++ [section(5, vec(List.duplicate(instance, 900)))])
    assert byte_size(bytes) < 10_000

    for result <- [
          WIT.world({:component, bytes}),
          Components.Component.compile(Engine.default(), bytes)
        ],
        do: assert({:error, %Error{reason: :too_large, details: %{limit: :type_work}}} = result)
  end

  test "a message names some of many missing imports" do
    imports = for number <- 1..30_000, do: name("wasi_x") <> name("f#{number}") <> <<0, 0>>
    bytes = module([section(1, vec([<<0x60, 0, 0>>])), section(2, vec(imports))])
    {:ok, module} = Wasmex.Module.compile(Engine.default(), bytes)
    {:ok, store} = Wasmex.Store.new()
    made = Wasmex.Instance.instantiate(store, module, %{})
    assert {:error, %Error{reason: :missing_import} = error} = made
    assert length(error.details.names) == 30_000
    assert Exception.message(error) =~ "and 29979 more"
    assert byte_size(Exception.message(error)) < 10_000

    long = String.duplicate("n", 50_000)
    functions = for number <- 1..20_000, do: <<4, 0>> <> name("f#{number}") <> <<1, 0>>
    instance = <<0x42>> <> vec([<<1, 0x40, 0, 1, 0>> | functions])
    import = <<0>> <> name("a:b/" <> long) <> <<5, 0>>
    bytes = component([section(7, vec([instance])), section(10, vec([import]))])
    assert {:error, error} = Components.start_link(%{bytes: bytes, imports: %{}})
    assert byte_size(message(error)) < 20_000
  end

  test "a message that quotes a text or a name has only its beginning" do
    digits = String.duplicate("9", 1_000_000)
    wat = "(module (global i64 (i64.const #{digits})))"
    twice = String.duplicate("import #{String.duplicate("a", 60_000)}: func(); ", 2)
    long = "\e[31m" <> String.duplicate("é", 30_000)
    exports = [name(long) <> <<0, 0>>, name(long) <> <<0, 0>>]
    function = [section(1, vec([<<0x60, 0, 0>>])), section(3, vec([<<0>>]))]
    bytes = module(function ++ [section(7, vec(exports)), section(10, vec([<<2, 0, 0x0B>>]))])
    manifest = ~s|{"wasm": [{"data": "AGFzbQEAAAA=", "hash": "\\u001b[#{digits}"}]}|

    for result <- [
          Wasmex.Wat.to_wasm(wat),
          Wasmex.Module.compile(Engine.default(), wat),
          Wasmex.run(wat),
          world("world w { #{twice} }"),
          Wasmex.Module.compile(Engine.default(), bytes),
          with(
            {:ok, manifest} <- Plugin.Manifest.from_json(manifest),
            do: Plugin.new(manifest, [])
          )
        ] do
      assert {:error, error} = result
      assert String.valid?(message(error))
      assert byte_size(message(error)) < 30_000
      refute message(error) =~ "\e"
    end
  end

  defp message(text) when is_binary(text), do: text
  defp message(error), do: Exception.message(error)

  @tag :tmp_dir
  test "files that a manifest names are read to their end, if they have one", %{tmp_dir: dir} do
    fifo = Path.join(dir, "fifo.wasm")
    sparse = Path.join(dir, "sparse.wasm")
    {_, 0} = System.cmd("mkfifo", [fifo])
    {_, 0} = System.cmd("truncate", ["-s", "600M", sparse])

    for {path, posix} <- [
          {"/dev/zero", :enotsup},
          {fifo, :enotsup},
          {sparse, :efbig}
        ] do
      manifest = ~s|{"wasm": [{"path": #{inspect(path)}}]}|
      {:ok, manifest} = Plugin.Manifest.from_json(manifest)
      assert {:error, %Error{} = error} = Plugin.new(manifest, [])
      assert Exception.message(error) =~ Wasmex.Bytes.format_error(posix)
      assert {:error, ^posix} = Wasmex.Bytes.read(path)
      assert {:error, %Error{reason: :file}} = Wasmex.HTTP.load(path)
    end

    {:ok, manifest} = Plugin.Manifest.from_json(~S|{"wasm": [{"path": "a\u0000b"}]}|)
    assert {:error, %Error{}} = Plugin.new(manifest, [])

    many = List.duplicate(%{"data" => Base.encode64("(module)")}, 1_001)
    assert {:error, error} = Plugin.Manifest.new(%{"wasm" => many})
    assert Exception.message(error) =~ "1000 modules"
  end

  @tag :tmp_dir
  test "files that have no end are not read, wherever a path may be given", %{tmp_dir: dir} do
    fifo = Path.join(dir, "fifo.wit")
    {_, 0} = System.cmd("mkfifo", [fifo])

    for path <- ["/dev/zero", fifo] do
      assert {:error, %Error{reason: :file}} = Wasmex.Inspection.read(path)
      assert {:error, %Error{reason: :file}} = Wasmex.run(path)
      assert {:error, %Error{reason: :wit}} = Wasmex.WIT.world({:path, path})
    end

    # Also among the files of a package.
    assert {:error, %Error{reason: :wit}} = Wasmex.WIT.world({:path, dir})
  end

  test "a number from outside has digits, and nothing else" do
    assert Wasmex.Quantity.natural("080") == {:ok, 80}

    for text <- ["", "+80", "-0", " 80", "80 ", "8_0", "1e3", "٨٠", String.duplicate("9", 20)],
        do: assert(Wasmex.Quantity.natural(text) == :error)
  end
end
