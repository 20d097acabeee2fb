defmodule Wasmex.Components.ValuesTest do
  use ExUnit.Case, async: true

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{Component, Instance}
  alias Wasmex.Wave

  @echo "test:types/echo@1.2.0"

  setup_all do
    {instance, _store} = Guests.instance("types", Guests.types_imports())
    %{instance: instance}
  end

  defp echo(instance, function, value, opts \\ []),
    do: Instance.call(instance, {@echo, "echo-" <> function}, [value], opts)

  defp message({:error, error}), do: Exception.message(error)

  test "every type comes back as it went", %{instance: instance} do
    for {function, values} <- values(), value <- values do
      assert {function, echo(instance, function, value)} == {function, {:ok, value}}
    end
  end

  test "every value has a WAVE text that stands for it" do
    {:instance, functions} = Guests.component("types") |> Component.exports() |> Map.get(@echo)

    for {function, values} <- values(), value <- values do
      {:func, [{_name, type}], type} = functions["echo-" <> function]
      assert {:ok, text} = Wave.print(value, type)
      assert {function, Wave.parse(text, type)} == {function, {:ok, value}}
      assert {:ok, [^value]} = Wave.parse_params("(" <> text <> ")", [type])
    end
  end

  defp point(x, y), do: %{"x" => x, "y" => y}

  defp person do
    %{
      "first-name" => "Ada",
      "age-in-years" => 36,
      "home-address" => %{
        "street-name" => "Straße",
        "house-number" => 65_535,
        "zip-code" => {:some, "12345"}
      },
      "favourite-points" => [point(1, -2)]
    }
  end

  defp wide do
    %{
      "field-one" => true,
      "field-two" => 255,
      "field-three" => -128,
      "field-four" => 65_535,
      "field-five" => -32_768,
      "field-six" => 4_294_967_295,
      "field-seven" => -2_147_483_648,
      "field-eight" => 18_446_744_073_709_551_615,
      "field-nine" => -9_223_372_036_854_775_808,
      "field-ten" => 0.5,
      "field-eleven" => 1.0e300,
      "field-twelve" => "🦀",
      "field-thirteen" => "text",
      "field-fourteen" => <<0, 255>>,
      "field-fifteen" => [1, 2],
      "field-sixteen" => :none,
      "field-seventeen" => {7, "seven"},
      "field-eighteen" => "green",
      "field-nineteen" => %{"write" => true},
      "field-twenty" => point(3, 4)
    }
  end

  defp values do
    [
      {"bool", [true, false]},
      {"u8", [0, 255]},
      {"s8", [-128, 127]},
      {"u16", [0, 65_535]},
      {"s16", [-32_768, 32_767]},
      {"u32", [0, 4_294_967_295]},
      {"s32", [-2_147_483_648, 2_147_483_647]},
      {"u64", [0, 18_446_744_073_709_551_615]},
      {"s64", [-9_223_372_036_854_775_808, 9_223_372_036_854_775_807]},
      {"f32", [0.0, -1.5, :nan, :infinity, :neg_infinity]},
      {"f64", [0.1, -1.0e308, :nan, :infinity, :neg_infinity]},
      {"char", ["a", "ü", "🦀", <<0>>]},
      {"string", ["", "héllo", "a\0b", String.duplicate("ß", 10_000)]},
      {"list-u8", ["", <<1, 2, 3>>, :binary.copy(<<7>>, 100_000)]},
      {"list-u32", [[], [1, 4_294_967_295], Enum.to_list(1..10_000)]},
      {"list-s64", [[-1, 9_223_372_036_854_775_807]]},
      {"list-f64", [[1.5, :nan]]},
      {"list-bool", [[true, false]]},
      {"list-char", [["a", "ß"]]},
      {"list-string", [[], ["", "a", "bb"]]},
      {"list-list", [["", <<1>>]]},
      {"list-point", [[], [point(1, 2), point(-1, -2)]]},
      {"list-person", [[person(), person()]]},
      {"point", [point(-1, 1)]},
      {"person", [person()]},
      {"single", [%{"value" => 18_446_744_073_709_551_615}]},
      {"wide", [wide()]},
      {"tuple", [{1, "a", 2.5}]},
      {"tuple-one", [{"a"}]},
      {"tuple-nested", [{{1, -1}, [{"a", true}]}]},
      {"option", [:none, {:some, 1}]},
      {"option-string", [:none, {:some, ""}]},
      {"option-option", [:none, {:some, :none}, {:some, {:some, 1}}]},
      {"option-point", [{:some, point(1, 2)}]},
      {"result", [{:ok, 1}, {:error, "e"}]},
      {"result-ok", [{:ok, 1}, :error]},
      {"result-error", [:ok, {:error, "e"}]},
      {"result-bare", [:ok, :error]},
      {"result-nested",
       [
         {:ok, :none},
         {:ok, {:some, point(1, 2)}},
         {:error, {:ok, <<1>>}},
         {:error, {:error, {"circle", 1.5}}}
       ]},
      {"shape",
       [
         "nothing",
         {"circle", 1.5},
         {"rectangle", {1.0, 2.0}},
         {"named", "x"},
         {"poly-line", [point(1, 2)]},
         {"maybe", {:some, -1}},
         {"coloured", "deep-blue"}
       ]},
      {"outer",
       ["none", {"some", {"circle", 0.0}}, {"ok", ["nothing"]}, {"error", {:error, "x"}}]},
      {"list-shape", [["nothing", {"named", "x"}]]},
      {"color", ["red", "green", "deep-blue"]},
      {"list-color", [["red", "deep-blue"]]},
      {"permissions", [%{}, %{"read" => true, "run-as-owner" => true}]},
      {"twelve", [%{"a0" => true, "a11" => true}]},
      {"thirty-two", [Map.new(0..31, &{"b#{&1}", true})]},
      {"list-permissions", [[%{}, %{"write" => true}]]},
      {"rows", [[<<1>>, ""]]},
      {"deep",
       [
         %{
           "by-name" => [{"a", :none}, {"b", {:some, [{:ok, person()}, {:error, "nothing"}]}}],
           "grid" => [[[:none, {:some, 1}]]],
           "outcome" => {:ok, {["none"], %{"read" => true}}}
         }
       ]}
    ]
  end

  test "invalid values", %{instance: instance} do
    assert echo(instance, "f64", 3) == {:ok, 3.0}
    assert echo(instance, "char", ?ß) == {:ok, "ß"}
    assert echo(instance, "list-u8", [1, 2]) == {:ok, <<1, 2>>}
    assert echo(instance, "list-u8", <<1, 2>>, bytes: :list) == {:ok, [1, 2]}
    assert echo(instance, "color", :deep_blue) == {:ok, "deep-blue"}
    assert echo(instance, "color", :"deep-blue") == {:ok, "deep-blue"}
    assert echo(instance, "shape", {:poly_line, []}) == {:ok, {"poly-line", []}}

    assert echo(instance, "permissions", [:read, "run-as-owner"]) ==
             {:ok, %{"read" => true, "run-as-owner" => true}}

    assert echo(instance, "permissions", %{read: true, write: false}) == {:ok, %{"read" => true}}
    assert echo(instance, "point", %{x: 1, y: 2}) == {:ok, point(1, 2)}

    assert {:ok, %{"first-name" => "Ada"}} =
             echo(instance, "person", %{
               first_name: "Ada",
               age_in_years: 1,
               favourite_points: [],
               home_address: %{street_name: "", house_number: 1, zip_code: :none}
             })
  end

  test "a wrong value says where and what", %{instance: instance} do
    order = %{id: 1, note: :none, lines: [%{item: "a", qty: 1}, %{item: "b", qty: -1}]}

    assert message(Instance.call(instance, {"test:types/calls@1.2.0", "price"}, [order])) ==
             ~s|param 1 ("order"), field "lines", item 2, field "qty": expected u32, got -1|

    for {function, value, text} <- [
          {"u8", 256, "expected u8, got 256"},
          {"s8", -129, "expected s8, got -129"},
          {"u32", 1.5, "expected u32, got 1.5"},
          {"u64", -1, "expected u64, got -1"},
          {"s64", 9_223_372_036_854_775_808, "expected s64, got 9223372036854775808"},
          {"f32", 1.0e300, "expected f32, got 1.0e300"},
          {"f64", "1", ~s|expected f64, got "1"|},
          {"bool", nil, "expected bool, got nil"},
          {"char", "ab", ~s|expected char, got "ab"|},
          {"char", 0xD800, "expected char, got 55296"},
          {"string", :atom, "expected string, got :atom"},
          {"string", "ab" <> <<255>>, "a string must be valid UTF-8; byte 2 is invalid"},
          {"list-u8", :x, "expected list<u8>, got :x"},
          {"list-u32", [1 | 2], "expected list<u32>, got [1 | 2]"},
          {"list-string", ["a", 1], "item 2: expected string, got 1"},
          {"point", %{x: 1, z: 2},
           ~s|missing fields: "y"; unknown fields: :z; the fields are: x, y|},
          {"point", [], "expected a record: a map, got []"},
          {"tuple", {1, "a"}, "expected 3 elements, got 2"},
          {"tuple", {1, 2, 3.0}, "element 2: expected string, got 2"},
          {"option", 1, "expected :none or {:some, value}, got 1"},
          {"option", nil, "expected :none or {:some, value}, got nil"},
          {"option", {:some, "x"}, ~s|case "some": expected u32, got "x"|},
          {"result", :ok, ~s|case "ok" has a payload: {ok, value}|},
          {"result-bare", {:ok, 1}, ~s|case "ok" has no payload|},
          {"shape", "square", ~s|there is no case "square"|},
          {"shape", "circle", ~s|case "circle" has a payload|},
          {"shape", {"nothing", 1}, ~s|case "nothing" has no payload|},
          {"shape", 7, "expected a variant"},
          {"color", :blue, "there is no case :blue; there are: red, green, deep-blue"},
          {"permissions", [:fly], "there is no flag :fly"},
          {"permissions", 3, "expected flags, got 3"}
        ] do
      text = Regex.escape(text)
      assert message(echo(instance, function, value)) =~ ~r/\Aparam 1 \("value"\)(, |: ).*#{text}/
    end

    # Nothing of that has touched the guest.
    assert Instance.call(instance, "add", [1, 2]) == {:ok, 3}
  end

  test "arguments that travel through memory, and too few or many of them", %{instance: instance} do
    assert Instance.call(instance, "many", [1, "2", 3, "4", 5, "6", 7, "8", 9, 1.5, true, "c"]) ==
             {:ok, "1 2 3 4 5 6 7 8 9 1.5 true c"}

    assert {:error, %Wasmex.Error{reason: :arity, details: %{expected: 2, got: 1}}} =
             Instance.call(instance, "add", [1])

    assert {:error, %Wasmex.Error{reason: :arity}} = Instance.call(instance, "add", [1, 2, 3])
  end

  test "a component makes no atoms", %{instance: instance} do
    {:ok, wide} = echo(instance, "wide", wide())
    for {name, _} <- wide, do: assert(is_binary(name))
    # By name, for other tests make atoms meanwhile.
    unknown = "never-an-atom-#{System.unique_integer([:positive])}"
    assert {:error, error} = echo(instance, "color", unknown)
    assert Exception.message(error) =~ unknown
    assert_raise ArgumentError, fn -> String.to_existing_atom(unknown) end
  end
end
