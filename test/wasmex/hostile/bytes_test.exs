defmodule Wasmex.Hostile.BytesTest do
  use ExUnit.Case, async: true

  import Wasmex.HostileBytes

  alias Wasmex.{ChildVM, Components, Engine, EngineConfig, Error, Limits, Module, WIT}

  defp compile(%{bytes: bytes, limits: limits}) do
    {:ok, engine} = Engine.new(%EngineConfig{limits: limits})
    compile(engine, bytes)
  end

  defp compile(engine, <<"\0asm", 1, _::binary>> = bytes),
    do: Module.make(Engine.resource(engine), bytes)

  defp compile(engine, bytes), do: Components.Component.compile(engine, bytes)

  defp refused(bytes, limits \\ []),
    do: compile(%{bytes: bytes, limits: struct!(Limits, limits)})

  describe "nested types" do
    # How each door was broken, and that it is shut.
    @doors """
    import Wasmex.HostileBytes
    alias Wasmex.{Components, Engine, EngineConfig, Error, WIT}
    Process.flag(:trap_exit, true)

    for tag <- [0x41, 0x42], depth <- [200, 1_500, 20_000, 300_000] do
      bytes = nested_types(depth, tag)
      {:ok, engine} = Engine.new(%EngineConfig{})
      {:error, %Error{reason: :nested_too_deep}} = Components.Component.compile(engine, bytes)
      {:error, %Error{reason: :nested_too_deep}} = WIT.world({:component, bytes})
      {:error, %Error{reason: :nested_too_deep}} = Wasmex.run(bytes)
      {:error, _} = Components.start_link(%{bytes: bytes})
      {:error, _} = Wasmex.HTTP.load(bytes)
      {:error, _} = Engine.precompile_module(engine, bytes)
      {:ok, _} = Wasmex.Inspection.from_bytes(bytes)
      path = Path.join(System.tmp_dir!(), "nested-\#{System.pid()}.wasm")
      File.write!(path, bytes)
      {:error, %Error{reason: :nested_too_deep}} = WIT.world({:path, path})

      module = "defmodule Nested do use Wasmex.Component, path: \#{inspect(path)} end"
      {:raised, _} = try do Code.compile_string(module) rescue e -> {:raised, e} end
      File.rm!(path)
    end

    IO.puts("alive")
    """

    test "are refused at all doors" do
      assert {output, 0} = ChildVM.run(@doors)
      assert output =~ "alive\n"
    end

    test "are refused with what to do" do
      assert {:error, %Error{reason: :nested_too_deep, details: details} = error} =
               refused(nested_types(100))

      assert %{limit: :nesting, value: 33, most: 32, offset: 110} = details
      assert Exception.message(error) =~ "raise `nesting` in the `limits:`"
      assert {:ok, _} = refused(nested_types(31))
      assert {:ok, _} = refused(nested_types(60), nesting: 100)
      assert {:error, _} = refused(nested_types(10_000), nesting: 0xFFFF_FFFF)
    end

    test "of text are refused, or parsed on a stack of their own" do
      code = """
      alias Wasmex.{Error, WIT}

      for brackets <- [{"list<", ">"}, {"tuple<", ">"}, {"option<", ">"}, {"result<_, ", ">"}], depth <- [40, 100_000] do
        {open, close} = brackets
        type = String.duplicate(open, depth) <> "u8" <> String.duplicate(close, depth)
        {:error, %Error{reason: :nested_too_deep}} = WIT.world({:text, "package a:b; world w { type t = \#{type}; }"})
      end

      chain = for n <- 1..20_000, into: "type t0 = u8;", do: "type t\#{n} = list<t\#{n - 1}>;"
      WIT.world({:text, "package a:b; interface i { \#{chain} } world w { import i; }"})

      for open <- ["(component ", "(module ", "(module (func (i32.add ", "(block ", "(; ", "(component (type (component "], depth <- [90, 100_000] do
        Wasmex.Wat.to_wasm(String.duplicate(open, depth))
        closes = String.duplicate(")", String.length(String.replace(open, ~r/[^(]/, "")) * depth)
        Wasmex.Wat.to_wasm(String.duplicate(open, depth) <> closes)
      end

      folded = String.duplicate("(i32.eqz ", 100_000) <> "(i32.const 0)" <> String.duplicate(")", 100_000)
      {:ok, wasm} = Wasmex.Wat.to_wasm("(module (func (result i32) \#{folded}))")
      {:ok, store} = Wasmex.Store.new()
      {:ok, _} = Wasmex.Module.compile(store, wasm)
      IO.puts("alive")
      """

      assert {output, 0} = ChildVM.run(code)
      assert output =~ "alive\n"
    end
  end

  test "tables with gaps are refused, alone and in components" do
    assert {:error, %Error{reason: :too_large, details: %{limit: :table_elements}}} =
             refused(table_bomb(100))

    assert {:error, %Error{reason: :too_large, details: %{limit: :table_elements}}} =
             refused(component(for _ <- 1..4, do: section(1, table_bomb(3))))

    assert {:ok, _} = refused(table_bomb(1))
  end

  describe "functions that compilers make much of are refused:" do
    defp body(instructions, types \\ []) do
      code = <<0>> <> instructions <> <<0x0B>>

      module([
        section(1, vec([<<0x60, 0, 0>> | types])),
        section(3, vec([<<0>>])),
        section(10, vec([name(code)]))
      ])
    end

    defp too_much_work(bytes) do
      assert {:error, %Error{reason: :too_large, details: %{limit: :function_work}}} =
               refused(bytes)
    end

    defp i32s(count), do: uleb(count) <> :binary.copy(<<0x7F>>, count)

    test "blocks that pass many values" do
      pushed = :binary.copy(<<0x41, 0>>, 100)
      blocks = :binary.copy(<<0x02, 1, 0x0B>>, 5_000)
      too_much_work(body(pushed <> blocks, [<<0x60>> <> i32s(100) <> i32s(100)]))
    end

    test "many loops, in a row and in each other" do
      too_much_work(body(:binary.copy(<<3, 0x40, 0x0B>>, 50_000)))
      too_much_work(body(:binary.copy(<<3, 0x40>>, 50_000) <> :binary.copy(<<0x0B>>, 50_000)))
    end

    test "many calls, and calls that pass many values" do
      too_much_work(body(:binary.copy(<<0x10, 0>>, 200_000)))
      too_much_work(body(:binary.copy(<<0x41, 0, 0x11, 0, 0>>, 50_000)))
      too_much_work(body(:binary.copy(<<0x14, 1>>, 2_000), [<<0x60>> <> i32s(1000) <> <<0>>]))
    end

    test "many structures" do
      too_much_work(body(:binary.copy(<<0xFB, 1, 1, 0x1A>>, 5_000), [<<0x5F, 1, 0x7F, 0>>]))
    end

    test "many functions that code puts into tables" do
      functions = :binary.copy(<<0>>, 200_000)
      table = section(4, vec([<<0x70, 0>> <> uleb(200_000)]))

      segment = fn head ->
        before = [section(1, vec([<<0x60, 0, 0>>])), section(3, vec([<<0>>])), table]
        elements = section(9, [1, head, uleb(200_000), functions])
        module(before ++ [elements, section(10, vec([<<2, 0, 0x0B>>]))])
      end

      # Passive, and beyond the table's end; where it is known where they go, they are written out.
      for head <- [<<1, 0>>, <<0, 0x41, 1, 0x0B>>] do
        assert {:error, %Error{reason: :too_large, details: %{limit: :constants}}} =
                 refused(segment.(head))
      end

      assert {:ok, _} = refused(segment.(<<0, 0x41, 0, 0x0B>>))

      assert {:error, %Error{reason: :too_large, details: %{limit: :constants}}} =
               refused(endless_compile())
    end

    test "many that run when a module is instantiated" do
      globals = List.duplicate(<<0x63, 0, 0, 0xFB, 1, 0, 0x0B>>, 3_000)

      assert {:error, %Error{reason: :too_large, details: %{limit: :constants}}} =
               refused(module([section(1, vec([<<0x5F, 0>>])), section(6, vec(globals))]))
    end
  end

  test "instances that double are refused" do
    # Each component makes two instances of the one before it.
    doubling =
      for level <- 0..29 do
        alias_of = section(6, vec([<<4, 2, 1>> <> uleb(level)]))
        section(4, component([alias_of, section(5, vec([<<0, 0, 0>>, <<0, 0, 0>>]))]))
      end

    assert {:error, %Error{reason: :too_large, details: %{limit: :instances}}} =
             refused(component([section(4, component([])) | doubling]))
  end

  describe "each limit" do
    for {limit, bytes} <- [
          size: "(module)",
          parts: "(component (core module) (core module) (core module))",
          types: "(module (type (func)) (type (struct)) (type (array i8)))",
          type_members: "(module (type (func (param i32 i32 i32))))",
          imports:
            ~s|(module (import "a" "a" (func)) (import "a" "b" (func)) (import "a" "c" (func)))|,
          exports: ~s|(module (func (export "a") (export "b") (export "c")))|,
          name_size: ~s|(module (func (export "abc")))|,
          functions: "(module (func) (func) (func))",
          function_size: "(module (func nop nop nop))",
          function_work: "(module (func nop nop))",
          locals: "(module (func (local i32 i32 i32)))",
          globals:
            "(module (global i32 (i32.const 0)) (global i32 (i32.const 0)) (global i32 (i32.const 0)))",
          constants:
            "(module (global $g i32 (i32.const 1)) (global i32 (i32.add (global.get $g) (i32.add (global.get $g) (global.get $g)))))",
          tables: "(module (table 1 funcref) (table 1 funcref) (table 1 funcref))",
          table_elements: "(module (func) (table 9 funcref) (elem (i32.const 3) func 0))",
          memories: "(module (memory 1) (memory 1) (memory 1))",
          memory_images:
            ~s|(module (memory 1) (memory 1) (memory 1) (data (i32.const 0) "a") (data (memory 1) (i32.const 0) "a") (data (memory 2) (i32.const 0) "a"))|,
          memory_gaps: ~s|(module (memory 1) (data (i32.const 0) "a") (data (i32.const 9) "a"))|,
          segments: ~s|(module (data "") (data "") (data ""))|,
          instances:
            "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)) (core instance (instantiate $m)))"
        ] do
      @limit limit
      @bytes bytes
      test "#{limit} is an option and an error" do
        {:ok, wasm} = Wasmex.Wat.to_wasm(@bytes)
        assert {:ok, _} = refused(wasm)

        assert {:error, %Error{reason: :too_large, details: details} = error} =
                 refused(wasm, [{@limit, 2}])

        assert %{limit: @limit, most: 2, value: value, offset: offset} = details
        assert value > 2 and offset <= byte_size(wasm)
        assert Exception.message(error) =~ "raise `#{@limit}`"
      end
    end

    test "has the same default on both sides" do
      assert Map.from_struct(%Limits{}) == Map.new(Wasmex.Native.limits_default())
    end
  end

  test "malformed components are errors that say where" do
    assert {:error, %Error{reason: :parse, details: %{offset: 12}}} =
             refused(component([section(7, <<1, 0x99>>)]))

    for size <- 9..40, bytes = binary_part(nested_types(20), 0, size) do
      assert {:error, %Error{}} = refused(bytes)
    end
  end

  test "a section that claims to be longer than the file takes no memory" do
    code = """
    for version <- [<<1, 0, 0, 0>>, <<13, 0, 1, 0>>], id <- [0, 1, 7, 12, 65] do
      bytes = <<0, "asm", version::binary, id, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F>>
      {:error, %Wasmex.Error{}} = Wasmex.WIT.world({:component, bytes})
      {:error, _} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), bytes)
      {:error, _} = Wasmex.Module.compile(Wasmex.Engine.default(), bytes)
      {:error, _} = Wasmex.Inspection.from_bytes(bytes)
      {:error, _} = Wasmex.run(bytes)
    end

    [_, kib] = Regex.run(~r/VmHWM:\\s+(\\d+) kB/, File.read!("/proc/self/status"))
    IO.puts("below 500 MB: \#{String.to_integer(kib) < 500_000}")
    """

    assert ChildVM.run(code) == {"below 500 MB: true\n", 0}
  end

  test "limits are an option for texts without an engine" do
    few = %Limits{text_size: 5, nesting: 200}

    wit =
      "package a:b; world w { type t = #{String.duplicate("list<", 40)}u8#{String.duplicate(">", 40)}; }"

    assert {:error, %Error{reason: :nested_too_deep}} = WIT.world({:text, wit})
    assert {:ok, _} = WIT.world({:text, wit}, limits: %Limits{nesting: 100})
    assert {:error, %Error{reason: :too_large}} = WIT.world({:text, wit}, limits: few)
    assert {:error, text} = Wasmex.Wat.to_wasm("(module)", limits: few)
    assert text =~ "5 bytes" or text =~ "text_size"
    assert_raise ArgumentError, fn -> Wasmex.Wat.to_wasm("(module)", limits: 5) end
  end

  test "text has a size" do
    text = "(module)" <> String.duplicate(" ", 17_000_000)
    assert {:error, "the size of 17000008 bytes" <> _} = Wasmex.Wat.to_wasm(text)

    assert {:error, %Error{reason: :too_large, details: %{limit: :text_size}}} =
             WIT.world({:text, text})
  end
end
