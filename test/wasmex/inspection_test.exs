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

  test "tells the language, also of programs that were stripped" do
    language = fn dir ->
      elem(Inspection.read("test/guests/programs/#{dir}/program.wasm"), 1).language
    end

    assert language.("go") == "Go"
    assert language.("rust") == "Rust"
    assert language.("c") == "C or C++"
    assert language.("as") == "AssemblyScript"
    # Nothing of it is left.
    assert language.("zig") == nil
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
end
