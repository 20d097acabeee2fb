defmodule Wasmex.Plugin.SchemaTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Plugin}
  alias Wasmex.Plugin.Schema
  alias Wasmex.Plugin.Schema.YAML

  defmodule Shop do
    use Wasmex.Plugin,
      source: "test/guests/plugins/shop.wat",
      schema: "test/guests/plugins/shop.yaml",
      imports: Wasmex.Plugin.SchemaTest.Host
  end

  defmodule Host do
    @behaviour Shop.Imports
    @impl true
    def find_price(%Plugin.Context{}, "free"), do: {:error, "nothing is free"}
    def find_price(_context, "odd"), do: :odd
    def find_price(_context, name), do: String.length(name) / 2
  end

  test "functions, structs and enums of the schema" do
    {:ok, shop} = Shop.new()

    order = %Shop.Order{
      item: "tea",
      size: "small",
      at: ~U[2026-11-26 10:00:00Z],
      tags: ["a"],
      note: nil
    }

    assert Shop.place_order(shop, order) == {:ok, order}

    assert Shop.place_order(shop, %{item: "tea", size: "large", tags: []}) ==
             {:ok, %Shop.Order{item: "tea", size: "large", tags: []}}

    assert Shop.raw(shop, <<0, 255>>) == {:ok, <<0, 255>>}
    assert Shop.ping(shop) == {:ok, nil}
  end

  test "values of another type say where they are wrong" do
    {:ok, shop} = Shop.new()

    for {order, place} <- [
          {%{item: "tea", size: "huge", tags: []},
           ~s|input of placeOrder, field "size": expected one of|},
          {%{item: 7, size: "small", tags: []}, ~s|field "item": expected string|},
          {%{item: "tea", size: "small"}, ~s|field "tags": expected a list|},
          {%{item: "tea", size: "small", tags: ["a", 1]},
           ~s|field "tags", item 1: expected string|},
          {:order, "input of placeOrder: expected"}
        ] do
      assert {:error, %Error{reason: :wrong_type} = error} = Shop.place_order(shop, order)
      assert Exception.message(error) =~ place
    end

    assert {:error, %Error{reason: :wrong_type} = error} = Shop.lies(shop)
    assert Exception.message(error) =~ "output of lies: expected integer"
  end

  test "host functions by the behaviour" do
    {:ok, shop} = Shop.new()
    assert Shop.price(shop, "green tea") == {:ok, 4.5}
    assert {:error, %Plugin.Error{message: "nothing is free"}} = Shop.price(shop, "free")
    assert {:error, %Error{reason: :import_raised}} = Shop.price(shop, "odd")
    assert Enum.sort(Shop.Imports.behaviour_info(:callbacks)) == [find_price: 2]
  end

  test "a process of it" do
    pid = start_supervised!(Shop)
    assert Shop.raw(pid, "x") == {:ok, "x"}
  end

  test "schemas that are wrong" do
    for {text, why} <- [
          {"a: [", "line 1"},
          {"- a", "must be an object"},
          {"version: v9", "version must be v1-draft"},
          {"version: v1-draft\nexports:\n  go:\n    input:\n      type: text", "unknown type"},
          {~s|version: v1-draft\nexports:\n  go:\n    input:\n      $ref: "#/components/schemas/Ordr"\ncomponents:\n  schemas:\n    Order:\n      enum: [a]|,
           ~s|did you mean "Order"|},
          {"version: v1-draft\nexports:\n  go to: {}", "is not a name"},
          {~s|{"version": 1}|, "version must be"}
        ] do
      assert {:error, %Error{reason: :schema} = error} = Schema.parse(text)
      assert Exception.message(error) =~ why
    end
  end

  test "the YAML that schemas are written in" do
    text = """
    # a comment
    version: v1-draft   # and another
    "quoted name": 'it''s'
    list:
    - 1
    - two: 2
      three: [a, "b, c", {d: 4}]
    -
      - nested
    text: |
      one
        two

      three
    folded: >-
      one
      two
    plain: goes on
      in the next line
    empty:
    numbers: [1.5, -2, true, null, ~]
    url: http://example.com/#anchor
    """

    assert YAML.decode(text) ==
             {:ok,
              %{
                "version" => "v1-draft",
                "quoted name" => "it's",
                "list" => [1, %{"two" => 2, "three" => ["a", "b, c", %{"d" => 4}]}, ["nested"]],
                "text" => "one\n  two\n\nthree\n",
                "folded" => "one two",
                "plain" => "goes on in the next line",
                "empty" => nil,
                "numbers" => [1.5, -2, true, nil, nil],
                "url" => "http://example.com/#anchor"
              }}

    for bad <- [
          "a: 1\na: 2",
          "\ta: 1",
          "a: &x 1",
          "a: \"open",
          "a: [1",
          "a: 1\n b: 2\nc",
          <<255>>
        ],
        do: assert({:error, _} = YAML.decode(bad))
  end

  # Each word of a list was once looked for in all that follows it.
  test "a text of many short parts takes no longer than others, and a long one is refused" do
    list = "[" <> String.duplicate("a,", 200_000) <> "a]"
    map = "{" <> Enum.map_join(1..50_000, ",", &"k#{&1}: v") <> "}"
    assert {:ok, %{"a" => words, "b" => pairs}} = YAML.decode("a: #{list}\nb: #{map}")
    assert length(words) == 200_001 and map_size(pairs) == 50_000
    assert {:error, "line 1: " <> _} = YAML.decode("{a, b}")
    assert {:error, %Error{reason: :schema}} = Schema.parse(String.duplicate(" ", 1_100_000))
  end
end
