defmodule Wasmex.Hostile.InterfacesTest do
  # What others see of a component: its interfaces, and the Elixir modules that are generated from them.
  use ExUnit.Case, async: true

  import Wasmex.HostileBytes

  alias Wasmex.{ChildVM, Error, Inspection, Limits, WIT}

  @moduletag :tmp_dir

  defp each(count, line), do: Enum.map_join(1..count, "\n", line)

  defp generate(dir, wit, options \\ "") do
    path = Path.join(dir, "world.wit")
    File.write!(path, wit)
    name = "Interfaces#{System.unique_integer([:positive])}"

    code =
      "defmodule #{name} do\nuse Wasmex.Component, wit: #{inspect(path)}, structs: true\n#{options}end"

    for {module, _} <- Code.compile_string(code), do: module
  end

  # 90 KB took 4 GB.
  test "an interface that is imported under many names is described once, and counts each time" do
    interface = "interface i { #{each(300, &"%f#{&1}: func(a: u8);")} }"
    many = &"package a:b; #{interface} world w { #{each(&1, fn n -> "import a#{n}: i;" end)} }"
    assert {:ok, %{imports: imports}} = WIT.world({:text, many.(100)})
    assert length(imports) == 100

    assert {:error, %Error{reason: :too_large, details: details}} =
             WIT.world({:text, many.(3_000)})

    assert %{limit: :type_members, most: 1_000_000} = details
    limits = %Limits{type_members: 10_000}
    assert {:error, %Error{}} = WIT.world({:text, many.(100)}, limits: limits)
  end

  test "worlds that are too large for the compiler of Elixir are refused", %{tmp_dir: dir} do
    functions = each(3_000, &"%f#{&1}: func();")

    for wit <- [
          "package a:b; interface i { #{functions} } world w { export i; }",
          "package a:b; interface i { #{functions} } world w { import i; }",
          "package a:b; #{each(1_001, &"interface i#{&1} { f: func(); }")} world w { #{each(1_001, &"export i#{&1};")} }",
          "package a:b; world w { import f: func(a: tuple<#{each(30_000, fn _ -> "u8," end)}>); }",
          "package a:b; world w { export f: func(#{each(254, &"a#{&1}: u8,")}); }"
        ] do
      error = assert_raise CompileError, fn -> generate(dir, wit) end
      assert Exception.message(error) =~ ~r/too large to generate|has 254 parameters/
    end

    assert [_module] =
             generate(
               dir,
               "package a:b; world w { export f: func(#{each(253, &"a#{&1}: u8,")}); }"
             )
  end

  # Its types are one another, twice.
  test "types without names count as often as they are used", %{tmp_dir: dir} do
    pairs = for level <- 0..17, do: <<0x6F, 2>> <> sleb(level) <> sleb(level)
    function = <<0x40, 1>> <> name("x") <> sleb(18) <> <<1, 0>>
    import = section(10, vec([<<0>> <> name("f") <> <<1>> <> uleb(19)]))
    bytes = component([section(7, vec([<<0x70, 0x7D>>] ++ pairs ++ [function])), import])
    path = Path.join(dir, "pairs.wasm")
    File.write!(path, bytes)
    assert {:ok, world} = WIT.world({:component, bytes})
    assert byte_size(WIT.print(world)) > 1_000_000

    assert_raise CompileError, ~r/too large to generate/, fn ->
      Code.compile_string("defmodule Pairs do use Wasmex.Component, path: #{inspect(path)} end")
    end
  end

  test "docs are texts, whatever they contain", %{tmp_dir: dir} do
    docs = ~S'/// """ #{raise "run"} \ " ~s{ #{exit(:run)}'

    wit =
      "package a:b;\n#{docs}\ninterface i {\n#{docs}\nf: func();\n#{docs}\nrecord r {\n#{docs}\nx: u8 } }\n" <>
        "#{docs}\nworld w { export i; import j: interface {\n#{docs}\ng: func(); } }"

    assert length(generate(dir, wit)) == 4
  end

  test "names of modules that are numbered do not meet one another", %{tmp_dir: dir} do
    names = ~w(AB a-b2 a-b A-b A-B)
    interfaces = Enum.map_join(names, "\n", &"interface %#{&1} { f: func(); }")
    exports = Enum.map_join(names, "\n", &"export %#{&1};")
    modules = generate(dir, "package a:b; #{interfaces} world w { #{exports} }")
    assert length(Enum.uniq(modules)) == length(names) + 1
  end

  test "records are structs in results of all functions", %{tmp_dir: dir} do
    wit =
      "package a:b; interface i { record r { x: u8 } f: func() -> list<r>; g: func() -> r; } world w { export i; }"

    modules = generate(dir, wit)
    root = Enum.min_by(modules, &byte_size(Atom.to_string(&1)))
    assert %{{"a:b/i", "r"} => {record, {:record, [{:x, :u8, nil}]}}} = root.__structs__()
    assert record in modules
  end

  # They raised.
  test "imports of any type are no obstacle to a snapshot, or are missing" do
    take = &Wasmex.Snapshot.take({:bytes, "(module #{&1} (memory (export \"m\") 1))"})
    import = &"(import \"a\" \"f\" (func (param #{&1}) (result #{&1})))"
    all = "externref funcref anyref eqref i31ref structref arrayref exnref i32 v128"
    assert {:ok, _} = take.(import.(all))

    for types <- [String.duplicate("i32 ", 65), "(ref extern)", "(ref null $t)", "nullref"] do
      assert {:error, %Error{reason: :missing_import}} =
               take.("(type $t (struct))" <> import.(types))
    end
  end

  test "lines of a report are cut" do
    name = String.duplicate("\e", 50_000)

    bytes =
      module([
        section(1, vec([<<0x60, 0, 0>>])),
        section(2, vec([name("a") <> name(name) <> <<0, 0>>]))
      ])

    {:ok, inspection} = Inspection.from_bytes(bytes)
    assert byte_size(Inspection.Report.text(inspection, "file")) < 30_000
  end

  # Missing imports are named with one type.
  test "missing imports with large types" do
    type = <<0x60>> <> vec(List.duplicate(<<0x6F>>, 999)) <> <<0>>
    imports = for number <- 1..900, do: name("a") <> name("#{number}") <> <<0, 0>>
    bytes = module([section(1, vec([type])), section(2, vec(imports))])
    {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), bytes)
    {:ok, store} = Wasmex.Store.new()
    assert {:error, %Error{} = error} = Wasmex.Instance.instantiate(store, module, %{})
    assert %{reason: :missing_import, details: details} = error
    assert length(details.names) == 900
  end

  test "a parser's panic is an error, and prints nothing" do
    # Functions with names that are not those of functions.
    code = """
    import Wasmex.HostileBytes
    function = <<0x40, 0, 1, 0>>
    for extern <- ["a:b/c", "a:b:c/d", "url=<a>", "locked-dep=<a:b>", "[async]f"] do
      import = <<0>> <> name(extern) <> <<1, 0>>
      bytes = component([section(7, vec([function])), section(10, vec([import]))])
      {:error, error} = Wasmex.WIT.world({:component, bytes})
      true = is_binary(Exception.message(error))
    end
    IO.puts("alive")
    """

    assert {output, 0} = ChildVM.run(code)
    assert output =~ "alive\n"
    refute output =~ "panicked"
  end
end
