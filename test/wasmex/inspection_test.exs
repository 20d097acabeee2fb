defmodule Wasmex.InspectionTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, Error, Inspection, Module, Wat}

  @files Path.wildcard("test/guests/**/*.{wasm,wat}")

  test "agrees with the compiler about every guest here" do
    # Compiling is quicker without optimizing.
    {:ok, engine} = Engine.new(%Wasmex.EngineConfig{})

    for file <- @files do
      assert {:ok, inspection} = Inspection.read(file)

      if inspection.kind == :module do
        {:ok, module} = Module.compile(engine, File.read!(file))
        assert Map.new(inspection.exports, &{&1.name, &1.type}) == Module.exports(module)

        for %{namespace: namespace, name: name, type: type} <- inspection.imports,
            do: assert(Module.imports(module)[namespace][name] == type)

        assert inspection.name == Module.name(module)
      end
    end
  end

  test "tells the language of programs, where they show it" do
    language = fn dir ->
      elem(Inspection.read("test/guests/programs/#{dir}/program.wasm"), 1).language
    end

    assert language.("go") == "Go"
    # By its exports: it was stripped.
    assert language.("rust") == "Rust"
    # Nothing is left of these but text in their data.
    for dir <- ["c", "as", "zig"], do: assert(language.(dir) == nil)
  end

  test "takes names with the wrong types, and text, for no language" do
    language = fn wat -> elem(Inspection.read(wat), 1).language end
    abort = fn params -> ~s|(module (import "env" "abort" (func (param #{params}))))| end

    assert language.(abort.("i32 i32 i32 i32")) == "AssemblyScript"
    for params <- ["", "i32", "i32 i32 i32 i64"], do: assert(language.(abort.(params)) == nil)

    assert language.(~S"""
           (module (func (export "__new") (param i32 i32) (result i32) unreachable)
             (func (export "__pin") (param i32) (result i32) unreachable)
             (func (export "__unpin") (param i32)))
           """) == "AssemblyScript"

    assert language.(~S|(module (func (export "__new")) (func (export "__pin")))|) == nil
    assert language.(~S|(module (import "gojs" "runtime.now" (func (param i32))))|) == "Go"
    assert language.(~S|(module (import "gojs" "runtime.now" (func)))|) == nil
    assert language.(~S|(module (func (export "__main_void")) (func (export "_start")))|) == nil

    for text <- [
          "see /rustc/ docs",
          "called `Option::unwrap()` on a `None` value",
          "library/std/src",
          "Illegal byte sequence\\00",
          "~\\00l\\00i\\00b\\00/\\00"
        ],
        do: assert(language.(~s|(module (memory 1) (data (i32.const 0) "#{text}"))|) == nil)
  end

  test "entry points are functions without parameters and results" do
    role = fn wat -> elem(Inspection.read(wat), 1).role end
    assert role.(~S|(module (func (export "_start")))|) == :command
    assert role.(~S|(module (func (export "_initialize")))|) == :reactor
    assert role.(~S|(module (func (export "_start") (param i32)))|) == :library
    assert role.(~S|(module (memory (export "_start") 1))|) == :library
  end

  test "an error says where the file is malformed" do
    header = <<0, "asm", 1, 0, 0, 0>>

    for {rest, offset} <- [
          # A section of 5 bytes with 1.
          {<<1, 5, 0>>, 10},
          # An export of function 3.
          {<<7, 5, 1, 1, ?f, 0, 3>>, 11},
          # An import whose type does not exist.
          {<<2, 7, 1, 1, ?a, 1, ?b, 0, 9>>, 11},
          {<<99, 0>>, 8}
        ] do
      assert {:error, %Error{reason: :parse, details: %{offset: at, message: text}} = error} =
               Inspection.from_bytes(header <> rest)

      assert is_binary(text) and at in offset..(offset + 3)
      assert Exception.message(error) =~ "(at offset 0x"
    end

    assert {:error, %Error{reason: :parse, details: %{offset: _}}} =
             Inspection.from_bytes(<<0, "asm", 9, 0, 0, 0>>)
  end

  test "tells commands, reactors and libraries apart" do
    role = fn path -> elem(Inspection.read("test/guests/" <> path), 1).role end
    assert role.("go_main/go_main.wasm") == :command
    assert role.("go_greet/go_greet.wasm") == :reactor
    assert role.("zig_compute/zig_compute.wasm") == :library
  end

  test "knows the types of every proposal" do
    wat = ~S"""
    (module
      (rec (type $s (struct (field i32) (field (mut i8)))) (type $a (array (mut f32))))
      (type $f (sub (func (param (ref null $s)) (result (ref $a)))))
      (import "m" "mem" (memory i64 1 2))
      (import "m" "tag" (tag (param i32)))
      (memory $two 1)
      (table 3 9 externref)
      (global (export "g") (mut v128) (v128.const i64x2 1 2))
      (global $h i32 (i32.add (i32.const 1) (i32.const -200)))
      (global (ref i31) (ref.i31 (i32.const 5)))
      (func (export "f") (type $f) unreachable)
      (export "two" (memory $two))
      (func $start) (start $start))
    """

    assert {:ok, i} = Inspection.read(wat)

    assert [
             %{type: {:memory, %{minimum: 1, maximum: 2, memory64: true}}},
             %{type: {:tag, [:i32], []}}
           ] = i.imports

    assert [%{minimum: 3, maximum: 9, type: {:reference, "(ref null extern)"}}] = i.tables
    assert [_, %{minimum: 1, memory64: false}] = i.memories
    assert [%{mutability: :var, type: :v128}, %{type: :i32}, %{type: {:reference, _}}] = i.globals
    assert i.start?

    assert Enum.find(i.exports, &(&1.name == "g")).type ==
             {:global, %{mutability: :var, type: :v128}}

    assert Enum.map(i.sections, & &1.name) -- ["custom name"] != []
  end

  test "reads components" do
    wat = ~S"""
    (component
      (import "host" (func $f (param "a" u32)))
      (core module $m (func (export "x")))
      (core instance $i (instantiate $m))
      (func (export "run") (canon lift (core func $i "x"))))
    """

    assert {:ok, %Inspection{kind: :component} = i} = Inspection.read(wat)
    assert [%{name: "host", type: :func}] = i.imports
    assert [%{name: "run", type: :func}] = i.exports
    assert "core module" in Enum.map(i.sections, & &1.name)
  end

  test "no bytes crash it" do
    {:ok, wasm} =
      Wat.to_wasm(
        ~S|(module (import "a" "b" (func (param i32))) (memory (export "m") 1 2) (table 1 funcref)
        (global (mut i32) (i32.const 1)) (func (export "f") (result i64) (i64.const 1)) (data (i32.const 0) "x"))|
      )

    for size <- 0..(byte_size(wasm) - 1) do
      assert {tag, _} = Inspection.from_bytes(binary_part(wasm, 0, size))
      assert tag in [:ok, :error]
    end

    for bit <- 0..(bit_size(wasm) - 1) do
      assert {tag, _} = wasm |> Wasmex.Guest.flip(bit) |> Inspection.from_bytes()
      assert tag in [:ok, :error]
    end

    :rand.seed(:exsss, {1, 2, 3})

    for _ <- 1..2000 do
      noise = <<0, "asm", 1, 0, 0, 0>> <> :rand.bytes(:rand.uniform(60))
      assert {tag, _} = Inspection.from_bytes(noise)
      assert tag in [:ok, :error]
    end

    # A count that lies.
    assert {:error, %Error{reason: :parse}} =
             Inspection.from_bytes(
               <<0, "asm", 1, 0, 0, 0, 1, 6, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0>>
             )
  end

  test "no bytes of a component crash it" do
    {:ok, wasm} =
      Wat.to_wasm(~S"""
      (component (import "f" (func $f (param "a" (list u8)))) (type (record (field "x" u32)))
        (core module $m (func (export "x")) (@producers (language "C" "11")))
        (core instance $i (instantiate $m)) (component) (export "g" (func $f)))
      """)

    assert {:ok, %{language: "C"}} = Inspection.from_bytes(wasm)

    for size <- 0..(byte_size(wasm) - 1) do
      assert {tag, _} = Inspection.from_bytes(binary_part(wasm, 0, size))
      assert tag in [:ok, :error]
    end

    for bit <- 0..(bit_size(wasm) - 1) do
      assert {tag, _} = wasm |> Wasmex.Guest.flip(bit) |> Inspection.from_bytes()
      assert tag in [:ok, :error]
    end
  end

  @component <<0, "asm", 13, 0, 1, 0>>

  test "what nests in a component is stepped over, however deep" do
    # A component type in a component type, 300,000 times.
    type = String.duplicate(<<0x41, 1, 1>>, 300_000)
    assert {:ok, %{sections: [%{name: "type"}]}} = Inspection.from_bytes(nested(7, <<1>> <> type))

    # A component in a component.
    deep = Enum.reduce(1..2_000, @component, fn _, inner -> @component <> section(4, inner) end)
    assert {:ok, %{sections: [%{name: "component"}]}} = Inspection.from_bytes(deep)
  end

  defp nested(id, content), do: @component <> section(id, content)
  defp section(id, content), do: <<id>> <> leb(byte_size(content)) <> content
  defp leb(number) when number < 128, do: <<number>>
  defp leb(number), do: <<1::1, number::7>> <> leb(div(number, 128))

  test "lists and types have limits, which the error names" do
    module = fn sections -> <<0, "asm", 1, 0, 0, 0>> <> IO.iodata_to_binary(sections) end
    exports = fn count -> section(7, leb(count) <> String.duplicate(<<0, 0, 0>>, count)) end
    function = section(3, <<1, 0>>)
    code = section(10, <<1, 2, 0, 0x0B>>)

    small = module.([section(1, <<1, 0x60, 0, 0>>), function, exports.(100_000), code])
    assert {:ok, %{exports: listed}} = Inspection.from_bytes(small)
    assert length(listed) == 100_000

    many = module.([section(1, <<1, 0x60, 0, 0>>), function, exports.(100_001), code])

    assert {:error, %Error{details: %{message: "more than 100000 exports" <> _}}} =
             Inspection.from_bytes(many)

    params = <<0x60>> <> leb(1000) <> String.duplicate(<<0x7F>>, 1000) <> <<0>>
    wide = module.([section(1, <<1>> <> params), function, exports.(1001), code])

    assert {:error, %Error{details: %{message: "more than 1000000 parameters" <> _}}} =
             Inspection.from_bytes(wide)

    sections = module.(String.duplicate(section(0, <<1, ?x>>), 100_001))

    assert {:error, %Error{details: %{message: "more than 100000 sections" <> _}}} =
             Inspection.from_bytes(sections)

    name = String.duplicate("n", 100_001)
    long = module.(section(2, <<1>> <> leb(100_001) <> name <> <<0, 0>>))
    assert {:error, %Error{reason: :parse, details: %{offset: _}}} = Inspection.from_bytes(long)
  end

  test "names that a terminal would obey are shown harmlessly" do
    {:ok, i} = Inspection.read(~S|(module (func (export "\1b[2Jgone\0d")))|)
    text = Wasmex.Inspection.Report.text(i, "x.wasm")
    refute text =~ "\e" or text =~ "\r"
    assert text =~ "[2Jgone"
  end

  test "says what else a file is" do
    assert {:error, %Error{} = error} = Inspection.from_bytes(<<0x7F, "ELF", 0xFF, 0>>)
    assert Exception.message(error) =~ "ELF"
    assert {:error, %Error{reason: :file}} = Inspection.read("no/such.wasm")
    assert {:error, %Error{reason: :parse}} = Inspection.from_bytes("plain text")
    {:ok, module} = Module.compile(Engine.default(), "(module)")
    {:ok, artefact} = Module.serialize(module)
    assert {:ok, %Inspection{kind: :artefact}} = Inspection.read(artefact)
  end

  test "limits of its own, and of a text" do
    limits = %Wasmex.Limits{functions: 1, text_size: 30}
    {:ok, wasm} = Wat.to_wasm("(module (func) (func))")
    assert {:ok, %Inspection{}} = Inspection.from_bytes(wasm)

    assert {:error, %Error{reason: :too_large, details: %{limit: :functions}}} =
             Inspection.from_bytes(wasm, limits: limits)

    assert {:error, %Error{}} =
             Inspection.from_bytes("(module (func (nop) (nop) (nop)))", limits: limits)

    {:ok, engine} = Engine.new(%Wasmex.EngineConfig{limits: limits})
    assert {:error, text} = Module.compile(engine, "(module (func (nop) (nop) (nop)))")
    assert text =~ "text_size"
  end
end
