defmodule Wasmex.WaveTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Wave}
  alias Wasmex.CLI.Invocation
  alias Wasmex.Components.{Component, Names}
  alias Wasmex.Program.Kind

  defp message({:error, %Error{reason: :wave} = error}), do: Exception.message(error)

  test "an error says what was expected, and where" do
    assert message(Wave.parse("300", :u8)) =~ "expected u8"
    assert message(Wave.parse("[1", {:list, :u8})) =~ "(at character 3)"
    assert message(Wave.parse("1 2", :u8)) =~ "trailing"
    assert message(Wave.parse("{y: 1}", {:record, [{"x", :u8}]})) =~ "expected record"

    assert message(Wave.parse_params("(1, true, 3)", [:u8, :bool])) =~
             "expected 2 arguments (u8, bool), got 3"

    assert message(Wave.parse_params("(1)", [:u8, :bool])) =~ "expected 2 arguments"
    assert message(Wave.parse_params("(1, 2)", [:u8, :bool])) =~ "argument 2: expected bool"
    assert message(Wave.print(-1, :u8)) == "expected u8"
    assert message(Wave.print([1, "x"], {:list, :u8})) == "item 1, expected u8"
    assert message(Wave.print(%{"x" => 1}, {:record, [{"y", :u8}]})) =~ ~s|field "y" is missing|
    assert message(Wave.print("blue", {:enum, ["red"]})) =~ "blue"
  end

  test "types without a text form are errors" do
    for type <- [
          :own,
          :borrow,
          {:list, :own},
          :unsupported,
          :nonsense,
          {:record, []},
          {:tuple, []},
          1,
          "u8",
          {:list, :u8, -1}
        ] do
      assert message(Wave.parse("1", type)) =~ ~r/no text form|without a text form/
      assert message(Wave.print(1, type)) =~ ~r/no text form|without a text form/
    end
  end

  test "nesting is bounded, in text and in types" do
    deep = Enum.reduce(1..100_000, :u8, fn _, type -> {:list, type} end)
    assert message(Wave.parse("1", deep)) =~ "100 levels"
    assert message(Wave.parse(String.duplicate("[", 100_000), {:list, :u8})) =~ "too deep"
    assert message(Wave.parse_params(String.duplicate("(", 100_000), [:u8])) =~ "too deep"
  end

  test "maps are lists of pairs, lists of a fixed length have it" do
    map = {:map, :string, :u8}
    assert Wave.print(%{"a" => 1}, map) == {:ok, ~s|[("a", 1)]|}
    assert Wave.parse(~s|[("a", 1), ("b", 2)]|, map) == {:ok, %{"a" => 1, "b" => 2}}
    assert {:error, _} = Wave.parse(~s|[("a", 1), ("a", 2)]|, map)
    assert Wave.parse("[1, 2]", {:list, :u8, 2}) == {:ok, [1, 2]}
    assert {:error, _} = Wave.parse("[1]", {:list, :u8, 2})
    assert {:error, _} = Wave.print([1], {:list, :u8, 2})
  end

  test "integers of core WebAssembly may be signed or unsigned" do
    for {type, least, most} <- [
          {:i32, -0x80000000, 0xFFFFFFFF},
          {:i64, -0x8000000000000000, 0xFFFFFFFFFFFFFFFF},
          {:v128, 0, Bitwise.bsl(1, 128) - 1}
        ] do
      for number <- [least, 0, most],
          do: assert(Wave.parse("#{number}", type) == {:ok, number})

      for number <- [least - 1, most + 1], do: assert({:error, _} = Wave.parse("#{number}", type))
      assert {:error, _} = Wave.parse("1.5", type)
    end
  end

  test "no name in a text becomes an atom" do
    type = {:record, [{"never-an-atom-8271", :u8}]}
    assert {:ok, %{"never-an-atom-8271" => 1}} = Wave.parse("{never-an-atom-8271: 1}", type)
    assert_raise ArgumentError, fn -> String.to_existing_atom("never-an-atom-" <> "8271") end
  end

  @add {:func, [{"a", :u32}], :u32}
  @exports %{
    "top" => @add,
    "ns:pkg/calc@1.0.0" => {:instance, %{"add" => @add, "sub" => {:func, [], nil}}},
    "ns:pkg/other@1.0.0" => {:instance, %{"add" => @add}}
  }

  test "a function of a component is found by as much of its name as tells it apart" do
    for name <- [
          "sub",
          "calc.sub",
          "calc#sub",
          "ns:pkg/calc.sub",
          "ns:pkg/calc@1.0.0.sub",
          "ns:pkg/calc@1.0.0#sub"
        ],
        do: assert({:ok, {"ns:pkg/calc@1.0.0.sub", [], []}} = Names.find(@exports, name))

    assert {:ok, {"top", [:u32], [:u32]}} = Names.find(@exports, "top")
    assert {:ok, {"ns:pkg/other@1.0.0.add", _, _}} = Names.find(@exports, "other.add")
    assert {:error, text} = Names.find(@exports, "add")
    assert text =~ "several functions: ns:pkg/calc@1.0.0.add, ns:pkg/other@1.0.0.add"
    assert {:error, text} = Names.find(@exports, "ad")
    assert text =~ "no exported function"
  end

  test "an invocation as one call, or with one argument a word" do
    {:ok, component} =
      Component.compile(
        Wasmex.Engine.default(),
        File.read!("test/guests/component_types/component_types.wasm")
      )

    new = &Invocation.new(Kind.Component, component, &1, &2)

    assert {:ok, %{name: "greet", params: ["Ada"], results: [:string]} = call} =
             new.(~s|greet("Ada")|, [])

    assert Invocation.print(call, ["Hi"]) == [~s|"Hi"|]
    # A string in a word needs no quotes.
    assert {:ok, %{params: ["Ada"]}} = new.("greet", ["Ada"])
    assert {:ok, %{params: ["Ada"]}} = new.("greet", [~s|"Ada"|])

    assert {:ok, %{name: "test:types/echo@1.2.0.echo-point", params: [%{"x" => 1, "y" => -2}]}} =
             new.("echo-point", ["{x: 1, y: -2}"])

    assert {:error, :arguments, text} = new.("greet", [])
    assert text =~ "takes 1 parameters (string), got 0"
    assert {:error, :arguments, _} = new.("greet(1)", [])
    assert {:error, :function, _} = new.("gret()", [])
  end

  test "bytes that are no text are an error" do
    for text <- [<<0xC3>>, <<"\"", 0xFF, "\"">>, <<"9", 0xC0, 0x80>>] do
      assert {:error, %Error{reason: :wave}} = Wave.parse(text, {:list, :u8})
      assert {:error, %Error{reason: :wave}} = Wave.parse_params(text, [:string])
    end
  end
end
