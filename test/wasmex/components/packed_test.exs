defmodule Wasmex.Components.PackedTest do
  # Lists of numbers as binaries, in arguments, results, records and imports.
  use ExUnit.Case, async: true

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components
  alias Wasmex.Components.Instance
  alias Wasmex.Error

  setup do
    {instance, _} = Guests.instance("types", Guests.types_imports())
    %{instance: instance}
  end

  defp echo(instance, name, params, opts \\ []),
    do: Instance.call(instance, {"test:types/echo@1.2.0", name}, params, opts)

  test "numbers go in as a binary, and come out as one", %{instance: instance} do
    for {name, type, bytes} <- [
          {"echo-list-u32", :u32, <<1::little-32, 0xFFFFFFFF::32>>},
          {"echo-list-s64", :s64, <<-1::little-64, 7::little-64>>},
          {"echo-list-f64", :f64, <<1.5::little-float-64, 0::size(48), 0xF0, 0x7F>>},
          {"echo-list-u32", :u32, ""},
          {"echo-list-u32", :u32, :binary.copy(<<7::little-32>>, 100_000)}
        ] do
      assert echo(instance, name, [{type, bytes}], lists: :binary) ==
               {:ok, {type, bytes}}
    end

    assert echo(instance, "echo-list-u32", [{:u32, <<7::little-32>>}]) == {:ok, [7]}

    assert echo(instance, "echo-list-u32", [[7]], lists: :binary) ==
             {:ok, {:u32, <<7::little-32>>}}

    assert echo(instance, "echo-list-s64", [{:s64, <<-7::little-64>>}]) == {:ok, [-7]}
    # Bytes are bytes, lists of other things lists.
    assert echo(instance, "echo-list-u8", ["ab"], lists: :binary) == {:ok, "ab"}
    assert echo(instance, "echo-list-bool", [[true]], lists: :binary) == {:ok, [true]}

    assert echo(instance, "echo-list-list", [["a", ""]], lists: :binary) ==
             {:ok, ["a", ""]}
  end

  test "another type or a part of a number is an error that says so", %{instance: instance} do
    for {given, text} <- [
          {{:s32, <<1::32>>}, "{:u32, binary}"},
          {{:u32, <<1, 2, 3>>}, "4 bytes each"},
          {{:u32, [1]}, "list<u32>"},
          {<<1::32>>, "list<u32>"}
        ] do
      assert {:error, %Error{reason: :conversion} = error} =
               echo(instance, "echo-list-u32", [given])

      assert Exception.message(error) =~ text
    end
  end

  test "imported functions and processes have them, too" do
    test = self()

    double = fn {:u32, bytes} = given ->
      send(test, given)
      {:u32, for(<<n::little-32 <- bytes>>, into: "", do: <<n * 2::little-32>>)}
    end

    path = {"test:types/calls@1.2.0", "double-all"}
    imports = Guests.types_imports(%{"double-all" => double})

    for options <- [[], [value_format: :direct]] do
      {:ok, pid} =
        Components.start_link(
          [path: Guests.path("types"), imports: imports, lists: :binary] ++ options
        )

      answer = GenServer.call(pid, {:call_function, Tuple.to_list(path), [[1, 2]], 5_000})
      assert answer == {:ok, {:u32, <<2::little-32, 4::little-32>>}}
      assert_received {:u32, <<1::little-32, 2::little-32>>}
    end
  end
end
