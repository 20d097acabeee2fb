defmodule Wasmex.VMLayoutTest do
  # Small integers and lists are read as the VM has them in memory, or through its interface: the results are the same.
  # Other tests that run meanwhile may get either way.
  use ExUnit.Case, async: true

  import Wasmex.Layouts, only: [alone: 1, both: 1]

  import Bitwise

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.{Components, Instance, Native}

  @echo "test:types/echo@1.2.0"
  @most_small 0x7FF_FFFF_FFFF_FFFF

  @numbers [
    {"list-u8", [0, 1, 127, 128, 255]},
    {"list-u32", [0, 1, 65_535, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]},
    {"list-s64",
     [0, -1, @most_small, @most_small + 1, -@most_small - 1, -@most_small - 2] ++
       [0x7FFF_FFFF_FFFF_FFFF, -0x8000_0000_0000_0000]},
    {"list-f64", [0.5, -1.0e308]}
  ]

  setup do
    {instance, _store} = Guests.instance("types", Guests.types_imports())
    %{instance: instance}
  end

  defp echo(instance, function, value) do
    Components.Instance.call(instance, {@echo, "echo-" <> function}, [value], bytes: :list)
  end

  test "the layout is known on the VMs that are supported" do
    alone(fn ->
      assert Native.vm_layout_use(true) == (:erlang.system_info(:wordsize) == 8)
      refute Native.vm_layout_use(false)
    end)
  end

  test "lists of numbers come back as they went", %{instance: instance} do
    for {function, numbers} <- @numbers,
        length <- [0, 1, 15, 16, 17, 10_000, 270_000],
        length <= 10_000 or function == "list-u32",
        list <- [Enum.take(Stream.cycle(numbers), length), Enum.reverse(numbers)] do
      assert both(fn -> echo(instance, function, list) end) == [{:ok, list}, {:ok, list}]
    end
  end

  test "numbers come back as they went", %{instance: instance} do
    for {"list-" <> type, numbers} <- @numbers, number <- numbers do
      assert both(fn -> echo(instance, type, number) end) == [{:ok, number}, {:ok, number}]
    end
  end

  test "what is wrong in a list is found where it is", %{instance: instance} do
    for {function, numbers} <- @numbers,
        wrong <- [:atom, "text", [1], {1}, %{}, self(), make_ref(), 1 <<< 70, fn -> 1 end],
        # A float is a number of some types.
        list = numbers ++ [wrong | numbers] do
      [{:error, one}, {:error, other}] = both(fn -> echo(instance, function, list) end)
      assert Exception.message(one) == Exception.message(other)
      assert Exception.message(one) =~ "item #{length(numbers) + 1}"
    end

    # Longer than what is read at once on a scheduler.
    long = Enum.to_list(0..300_000)

    for list <- [[1 | 2], [-1], [0x1_0000_0000], long ++ [-1], long ++ [:atom], long ++ 1] do
      [{:error, one}, {:error, other}] = both(fn -> echo(instance, "list-u32", list) end)
      assert Exception.message(one) == Exception.message(other)
    end
  end

  test "numbers of core functions come back as they went" do
    wat = """
    (module
      (func (export "i32") (param i32) (result i32) local.get 0)
      (func (export "i64") (param i64) (result i64) local.get 0))
    """

    {:ok, store} = Wasmex.Store.new()
    {:ok, module} = Wasmex.Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, %{})

    for {name, values} <- [
          {"i32", [0, -1, 0x7FFF_FFFF, -0x8000_0000]},
          {"i64", [0, -1, @most_small, @most_small + 1, -@most_small - 2, -0x8000_0000_0000_0000]}
        ],
        value <- values do
      assert both(fn -> Instance.call(instance, name, [value]) end) == [
               {:ok, [value]},
               {:ok, [value]}
             ]
    end

    for {name, value} <- [{"i32", 0x1_0000_0000}, {"i32", 1.5}, {"i64", 1 <<< 64}, {"i64", :a}] do
      assert [{:error, error}, {:error, error}] =
               both(fn -> Instance.call(instance, name, [value]) end)

      assert error.reason == :value
    end
  end
end
