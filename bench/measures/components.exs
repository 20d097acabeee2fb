defmodule Bench.Components do
  @moduledoc "Typed calls into a component, compared with the same calls from Rust."

  import Bench
  alias Wasmex.Components.{Component, GuestResource, Instance, Store, Template}

  @guest "test/guests/component_bench/component_bench.wasm"
  @values "test:bench/values@1.0.0"
  @counter ["test:bench/counters@1.0.0", "counter"]

  def run(quick?) do
    n = if quick?, do: 20_000, else: 300_000
    {:ok, component} = Component.compile(Wasmex.Engine.default(), File.read!(@guest))
    imports = %{"tick" => {:fn, fn n -> n end}, "shout" => {:fn, &String.upcase/1}}
    {:ok, template} = Template.new(component, imports)
    instance = instance(template)
    numbers = Enum.to_list(0..9_999)
    packed = {:u32, for(n <- numbers, into: <<>>, do: <<n::little-32>>)}
    points = for n <- 0..999, do: %{"x" => n, "y" => -n}
    strings = for n <- 0..999, do: "string #{n}"
    bytes = :binary.copy(<<7>>, 1_048_576)
    {:ok, counter} = GuestResource.new(instance, @counter, [0])
    add = [hd(@counter), "[method]counter.add"]

    [
      measure(
        "component: add(s32, s32)",
        "add",
        n,
        fn -> call(instance, "add", [40, 2]) end,
        [readme: true] ++ at_most(2.5)
      ),
      measure(
        "component: greet(string)",
        "greet",
        n,
        fn -> call(instance, "greet", ["Wasmex"]) end,
        [readme: true] ++ at_most(2.5)
      ),
      measure(
        "component: record of 20 fields",
        "record",
        div(n, 10),
        fn -> call(instance, {@values, "echo-wide"}, [wide()]) end,
        at_most(3)
      ),
      measure(
        "component: list of 10,000 u32, there and back",
        "numbers",
        div(n, 1_000),
        fn -> call(instance, {@values, "echo-numbers"}, [numbers]) end,
        [readme: true] ++ at_most(25)
      ),
      measure(
        "the same, packed",
        "numbers",
        div(n, 100),
        fn -> call(instance, {@values, "echo-numbers"}, [packed], lists: :binary) end,
        [readme: true] ++ at_most(2.5)
      ),
      measure(
        "component: 1,000 records of two numbers",
        "points",
        div(n, 1_000),
        fn -> call(instance, {@values, "echo-points"}, [points]) end,
        at_most(5)
      ),
      measure(
        "component: 1,000 strings",
        "strings",
        div(n, 1_000),
        fn -> call(instance, {@values, "echo-strings"}, [strings]) end,
        at_most(5)
      ),
      measure(
        "component: list<u8> of 1 MiB, there and back",
        "bytes",
        div(n, 1_000),
        fn -> call(instance, {@values, "echo-bytes"}, [bytes]) end,
        [readme: true] ++ at_most(2)
      ),
      measure(
        "component: list<u8> of 1 MiB, there",
        "bytes_in",
        div(n, 1_000),
        fn -> call(instance, {@values, "count-bytes"}, [bytes]) end,
        at_most(2)
      ),
      measure(
        "component: resource method",
        "method",
        n,
        fn -> call(instance, add, [counter, 1]) end,
        at_most(2.5)
      ),
      row(
        "component: import from a guest loop",
        per_op(n, &call(instance, "import-loop", [&1])),
        "µs",
        [rust: "component_import"] ++ at_most(4)
      ),
      row(
        "the same, compared with a host function in Rust that suspends once",
        per_op(n, &call(instance, "import-loop", [&1])),
        "µs",
        rust: "component_import_suspending"
      ),
      measure(
        "component: instance from a template",
        "instantiate",
        div(n, 100),
        fn -> instance(template) end,
        at_most(1.2)
      )
    ]
  end

  defp at_most(ratio), do: [goal: "#{ratio}x", test: {:ratio, ratio}]

  # Each in a process of its own, whose heap holds the values of no other.
  defp measure(name, rust, n, fun, opts) do
    fn -> row(name, per_op(n, &times(&1, fun)), "µs", [rust: "component_" <> rust] ++ opts) end
    |> Task.async()
    |> Task.await(:infinity)
  end

  defp call(instance, path, params, opts \\ []),
    do: {:ok, _} = Instance.call(instance, path, params, opts)

  defp instance(template) do
    {:ok, store} = Store.new()
    {:ok, instance} = Template.instantiate(template, store)
    instance
  end

  defp wide do
    %{
      "field-one" => true,
      "field-two" => 2,
      "field-three" => -3,
      "field-four" => 4,
      "field-five" => -5,
      "field-six" => 6,
      "field-seven" => -7,
      "field-eight" => 8,
      "field-nine" => -9,
      "field-ten" => 10.5,
      "field-eleven" => 11.5,
      "field-twelve" => "ü",
      "field-thirteen" => "thirteen",
      "field-fourteen" => "fourteen",
      "field-fifteen" => {:some, 15},
      "field-sixteen" => {:some, "sixteen"},
      "field-seventeen" => {17, 17},
      "field-eighteen" => "green",
      "field-nineteen" => %{"read" => true, "execute" => true},
      "field-twenty" => 20
    }
  end
end
