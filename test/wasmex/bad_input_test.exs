defmodule Wasmex.BadInputTest do
  use ExUnit.Case, async: true

  alias Wasmex.{
    Engine,
    EngineConfig,
    Error,
    Guest,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    StoreLimits,
    Template,
    Trap
  }

  @component <<0, "asm", 0x0D, 0, 1, 0>>

  defp store, do: elem(Store.new(), 1)

  defp instantiate(wat, imports \\ %{}, limits \\ nil) do
    {:ok, store} = Store.new(limits)
    {:ok, module} = Module.compile(store, wat)
    Instance.instantiate(store, module, imports)
  end

  test "bytes that are no module" do
    {:ok, wasm} = Wasmex.Wat.to_wasm(~s|(module (func (export "f") i32.const 1 drop))|)

    for bytes <- [
          "",
          "no wasm",
          <<0, "asm">>,
          <<0, "asm", 1, 0, 0, 0, "garbage">>,
          <<0, "asm", 9, 0, 0, 0>>,
          binary_part(wasm, 0, byte_size(wasm) - 3),
          :rand.bytes(1_000_000),
          <<255, 254>>
        ] do
      assert {:error, text} = Module.compile(store(), bytes)
      assert is_binary(text) and byte_size(text) < 2_000
      refute text =~ "backtrace"
    end
  end

  test "a component where a module is needed is told apart" do
    assert {:error, text} = Module.compile(store(), @component)
    assert text =~ "component"
    assert {:error, text} = Module.compile(store(), "(component)")
    assert text =~ "component"
  end

  test "what the text format says is wrong, and where" do
    assert {:error, text} = Module.compile(store(), "wat is this?")
    assert text =~ "Error while parsing bytes: expected `(`"
    assert text =~ "1:1"
    assert {:error, "Failed to parse WAT: " <> _} = Wasmex.Wat.to_wasm("wat?")
  end

  test "texts that are quoted in an error steer no terminal" do
    text = "(module \e[31m\u202E)"
    {:ok, store} = Store.new()
    {:ok, components} = Wasmex.Components.Store.new()

    for {:error, error} <- [
          Wasmex.Wat.to_wasm(text),
          Module.compile(store, text),
          Wasmex.run(text),
          Wasmex.HTTP.load(text),
          Wasmex.Components.Component.new(components, "(component \e[31m)"),
          Wasmex.WIT.world({:text, "package a:b; \e[31m world w {}"}),
          Wasmex.Wave.parse("\e[31m", :u8),
          Wasmex.Plugin.Manifest.from_json(~s|{"\e[31m\u202E": 1, "wasm": []}|),
          Wasmex.Plugin.Manifest.from_json("\e[31m"),
          Wasmex.Plugin.Schema.parse("version: \e[31m"),
          Wasmex.Plugin.Schema.parse("\e[31m: : :")
        ] do
      message = if is_binary(error), do: error, else: Exception.message(error)
      refute message =~ ~r/[\e\x{202E}]/u, inspect(message)
    end
  end

  test "missing imports are all named, the first with its type" do
    wat =
      ~s|(module (import "a" "b" (func (param i32) (result i64))) (import "c" "d" (memory 1)))|

    assert {:error, %Error{reason: :missing_import, details: details} = error} = instantiate(wat)
    assert details.names == [{"a", "b"}, {"c", "d"}]

    assert Exception.message(error) =~
             "unknown import: `a::b` has not been defined (expected: func (param i32) (result i64))"
  end

  test "a missing import names the given one that is probably meant" do
    wat = ~s|(module (import "env" "log_text" (func)) (import "env" "b" (func)))|
    {:ok, store} = Store.new()
    {:ok, module} = Module.compile(store, wat)
    function = {:fn, [], [], fn _ -> nil end}

    for {imports, meant} <- [
          {%{env: %{logtext: function, x: function}}, "`env::logtext`"},
          {%{envs: %{log_text: function}}, "`envs::log_text`"},
          {%{env: %{x: function}}, nil}
        ] do
      {:error, error} = Instance.instantiate(store, module, imports)

      {:error, linked} =
        imports
        |> Enum.reduce(Linker.new(), fn {namespace, names}, linker ->
          Linker.define(linker, namespace, names)
        end)
        |> Linker.instantiate_pre(module)

      for error <- [error, linked] do
        message = Exception.message(error)
        assert error.reason == :missing_import

        if meant,
          do: assert(message =~ "; the imports have #{meant} instead"),
          else: refute(message =~ "the imports have")
      end
    end
  end

  test "a missing WASI import says what to enable" do
    wat = ~s|(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))|
    assert {:error, error} = instantiate(wat)
    assert Exception.message(error) =~ "pass `wasi: true`"
  end

  test "an import of the wrong type" do
    wat = ~s|(module (import "env" "f" (func (param i32))))|
    imports = %{env: %{f: {:fn, [:i64], [], fn _, _ -> :ok end}}}
    assert {:error, %Error{reason: :incompatible_import} = error} = instantiate(wat, imports)
    assert Exception.message(error) =~ "incompatible import type for `env::f`"
  end

  test "imports that are no definitions name the place" do
    for definition <- [
          :f,
          {:fn, [], []},
          {:fn, [:i33], [], fn _, _ -> 1 end},
          {:fn, [:i32], [], fn _ -> 1 end}
        ] do
      assert_raise ArgumentError, ~r/import env.f/, fn ->
        instantiate("(module)", %{env: %{f: definition}})
      end
    end

    assert_raise ArgumentError, fn -> instantiate("(module)", %{env: :no_map}) end
    assert_raise ArgumentError, fn -> instantiate("(module)", []) end
  end

  test "an unknown export lists close names" do
    {_, instance} =
      Guest.start(
        ~s|(module (func (export "greet")) (func (export "add")) (memory (export "m") 1))|
      )

    assert {:error, %Error{reason: :unknown_export} = error} = Instance.call(instance, "gret", [])
    assert Exception.message(error) =~ ~s|did you mean "greet"|
    assert {:error, %Error{reason: :unknown_export}} = Instance.call(instance, "m", [])
    assert {:error, %Error{reason: :unknown_export}} = Instance.call(instance, <<255>>, [])
    assert {:error, %Error{reason: :unknown_export}} = Instance.export(instance, :global, "greet")
  end

  test "the wrong number of arguments" do
    {_, instance} = Guest.start(~s|(module (func (export "f") (param i32)))|)

    assert {:error, %Error{reason: :arity, details: %{expected: 1, got: 2}}} =
             Instance.call(instance, "f", [1, 2])

    assert {:error, %Error{reason: :arity}} = Instance.call(instance, "f", [])
    assert_raise ArgumentError, fn -> Instance.call(instance, "f", :no_list) end
    assert_raise ArgumentError, fn -> Instance.call(instance, "f", [1], timeout: -1) end
    assert_raise ArgumentError, fn -> Instance.call(instance, "f", [1], tiemout: 1) end
  end

  test "a module that wants more than the store allows" do
    limits = %StoreLimits{memory_size: 1_000_000, table_elements: 10, tables: 1}
    assert {:error, error} = instantiate("(module (memory 65536))", %{}, limits)
    assert Exception.message(error) =~ "exceeds memory limits"
    assert {:error, _} = instantiate("(module (table 11 funcref))", %{}, limits)
    tables = String.duplicate("(table 0 funcref)", 100)
    assert {:error, _} = instantiate("(module #{tables})", %{}, limits)
    tables = String.duplicate("(table 0 funcref)", 10_000)
    assert {:error, text} = Module.compile(store(), "(module #{tables})")
    assert text =~ "more than 1000 tables"

    assert {:error, _} =
             instantiate("(module #{String.duplicate("(memory 1)", 20)})", %{}, limits)

    # Growing beyond the limit is the guest's own failure.
    {:ok, store} = Store.new(limits)

    {_, instance} =
      Guest.start(
        ~s|(module (memory (export "m") 1) (func (export "grow") (result i32) i32.const 100 memory.grow))|,
        %{},
        store
      )

    assert Instance.call(instance, "grow", []) == {:ok, [-1]}
    {:ok, memory} = Memory.from_instance(store, instance)
    assert {:error, "Failed to grow the memory: " <> _} = Memory.grow(store, memory, 100)
  end

  test "a start function that traps or loops" do
    assert {:error, %Trap{code: :unreachable}} =
             instantiate("(module (func $s unreachable) (start $s))")

    {:ok, module} = Module.compile(store(), "(module (func $s (loop br 0)) (start $s))")

    assert {:error, %Error{reason: :timeout}} =
             Instance.instantiate(store(), module, %{}, [], timeout: 10)
  end

  test "a start function that calls an import" do
    test = self()
    imports = %{e: %{f: {:fn, [], [], fn _ -> send(test, :called) end}}}
    assert {:ok, _} = instantiate(~s|(module (import "e" "f" (func $f)) (start $f))|, imports)
    assert_received :called
  end

  test "memory out of range" do
    {store, instance} = Guest.start(~s|(module (memory (export "m") 1))|)
    {:ok, memory} = Memory.from_instance(store, instance)
    assert {:error, %Error{reason: :out_of_bounds}} = Memory.read(memory, 65_535, 2)

    assert {:error, %Error{reason: :out_of_bounds}} =
             Memory.read(memory, 0x7FFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF)

    assert {:error, %Error{reason: :out_of_bounds}} = Memory.read(memory, 0, 5_000_000_000)
    assert {:error, %Error{reason: :out_of_bounds}} = Memory.write(memory, 65_536, "x")
    assert {:error, "out of bounds memory access"} = Memory.get_byte(store, memory, 65_536)
    assert Memory.read(memory, 65_536, 0) == {:ok, ""}
    assert_raise ArgumentError, fn -> Memory.get_byte(store, memory, -42) end
    assert_raise ArgumentError, fn -> Memory.read_binary(store, %Memory{}, 0, 1) end
    # A write that can't go in as a whole writes nothing.
    assert {:error, _} = Memory.write(memory, 1, :binary.copy("x", 3_000_000))
    assert Memory.read(memory, 1, 1) == {:ok, <<0>>}
  end

  test "handles that are no handles" do
    assert_raise ArgumentError, fn -> Store.new(%{memory_size: 1}) end
    assert_raise ArgumentError, fn -> Store.new(%StoreLimits{memory_size: -1}) end
    assert_raise ArgumentError, fn -> Store.new(nil, :engine) end
    assert_raise ArgumentError, fn -> Engine.new(%EngineConfig{consume_fuel: 1}) end
    assert_raise ArgumentError, fn -> Engine.new(%EngineConfig{cranelift_opt_level: :fast}) end
    assert_raise ArgumentError, fn -> Module.compile(:store, "(module)") end
    assert_raise ArgumentError, fn -> Wasmex.Pipe.read(%Wasmex.Pipe{resource: make_ref()}) end
    assert_raise ArgumentError, fn -> Wasmex.Pipe.read(:pipe) end
  end

  test "options that are not a keyword list" do
    {:ok, module} = Module.compile(store(), ~s|(module (func (export "f")))|)
    {:ok, instance} = Instance.new(store(), module, %{})

    for opts <- [100, %{timeout: 100}, [100], :infinity],
        do:
          assert_raise(
            ArgumentError,
            ~r/expected options of .* as a keyword list, .*, got: /,
            fn ->
              Instance.call(instance, "f", [], opts)
            end
          )
  end

  test "modules and templates of another engine" do
    {:ok, engine} = Engine.new(%EngineConfig{})
    {:ok, module} = Module.compile(engine, "(module)")
    assert {:error, text} = Instance.new(store(), module, %{})
    assert text =~ "cross-`Engine` instantiation is not currently supported"
    {:ok, template} = Linker.instantiate_pre(Linker.new(), module)
    assert {:error, %Error{reason: :foreign_engine}} = Template.instantiate(template, store())
  end

  describe "artefacts" do
    setup do
      {:ok, module} =
        Module.compile(store(), ~s|(module (func (export "f") (result i32) i32.const 5))|)

      {:ok, artefact} = Module.serialize(module)
      %{module: module, artefact: artefact}
    end

    test "come back as they were", %{artefact: artefact} do
      assert {:ok, module} = Module.deserialize(artefact)
      {:ok, instance} = Instance.new(store(), module, %{})
      assert Instance.call(instance, "f", []) == {:ok, [5]}
      assert {:ok, %Module{}} = Module.unsafe_deserialize(artefact)
    end

    test "are refused when altered, cut, or made with other settings", %{artefact: artefact} do
      for position <- Enum.take_random(0..(bit_size(artefact) - 1), 300) do
        flipped = Wasmex.Guest.flip(artefact, position)
        assert {:error, %Error{reason: :artefact}} = Module.deserialize(flipped)
      end

      for size <- [0, 1, 17, 40, 60, byte_size(artefact) - 1] do
        assert {:error, %Error{reason: :artefact}} =
                 Module.deserialize(binary_part(artefact, 0, size))
      end

      {:ok, other} = Engine.new(%EngineConfig{consume_fuel: true})
      assert {:error, %Error{reason: :artefact}} = Module.deserialize(artefact, other)

      assert {:error, "Could not deserialize module: " <> _} =
               Module.unsafe_deserialize("no artefact")
    end

    test "with a key are for those who have it", %{module: module, artefact: artefact} do
      {:ok, keyed} = Module.serialize(module, key: "secret")
      assert {:ok, _} = Module.deserialize(keyed, nil, key: "secret")
      assert {:error, %Error{reason: :artefact}} = Module.deserialize(keyed, nil, key: "other")
      assert {:error, %Error{reason: :artefact}} = Module.deserialize(keyed)

      assert {:error, %Error{reason: :artefact}} =
               Module.deserialize(artefact, nil, key: "secret")
    end
  end
end
