defmodule Wasmex.Hostile.Composed do
  @moduledoc "Components whose parts are repeated where they are imported, instantiated, lifted or lowered."

  import Wasmex.HostileBytes

  @kinds ~w(canons fresh copies adapters ascribed)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  def make(:canons),
    do: {:wasm, canons(one([:variant, :tuple, :result]), size(990), size(49_000))}

  def make(:fresh), do: {:wasm, fresh(one([:import, :export, :nested]), size(90_000), size(990))}

  def make(:copies),
    do: {:wasm, copies(one([:exports, :aliases, :instances]), size(90_000), size(200), size(200))}

  def make(:adapters),
    do: {:wasm, adapters(one(~w(char u8 string bool f32)), size(900), size(900), size(100))}

  def make(:ascribed), do: {:wasm, ascribed(size(990), size(90_000))}

  # A type with width * width parts.
  defp types(:tuple, width),
    do: [
      <<0x6F>> <> vec(List.duplicate(<<0x7D>>, width)),
      &(<<0x6F>> <> vec(List.duplicate(sleb(&1), width)))
    ]

  defp types(:variant, width) do
    cases = fn payload ->
      <<0x71>> <> vec(for at <- 1..width, do: name("c#{at}") <> <<1>> <> payload <> <<0>>)
    end

    [cases.(<<0x7D>>), &cases.(sleb(&1))]
  end

  defp square(kind, width, at) do
    [inner, outer] = types(kind, width)
    [inner, outer.(at)]
  end

  defp canons(:result, depth, count) do
    depth = min(depth, 14)

    levels =
      for level <- 0..depth,
          do:
            if(level == 0,
              do: <<0x6A, 1, 0x7D, 1, 0x7D>>,
              else: <<0x6A, 1>> <> sleb(level - 1) <> <<1>> <> sleb(level - 1)
            )

    lowered(levels, count)
  end

  defp canons(kind, width, count), do: lowered(square(kind, width, 0), count)

  defp lowered(types, count) do
    function = <<0x40, 1>> <> name("x") <> sleb(length(types) - 1) <> <<1, 0>>
    memory = module([section(5, vec([<<0, 1>>])), section(7, vec([name("m") <> <<2, 0>>]))])

    component([
      section(7, vec(types ++ [function])),
      section(10, vec([<<0>> <> name("f") <> <<1>> <> uleb(length(types))])),
      section(1, memory),
      section(2, vec([<<0, 0, 0>>])),
      section(6, vec([<<0, 2, 1, 0>> <> name("m")])),
      section(8, vec(List.duplicate(<<1, 0, 0, 1, 3, 0>>, count)))
    ])
  end

  # An instance with a resource has types of its own wherever it is imported.
  defp fresh(how, functions, times) do
    exports = for at <- 1..functions, do: <<4, 0>> <> name("f#{at}") <> <<1, 2>>

    declared =
      [
        <<4, 0>> <> name("r") <> <<3, 1>>,
        <<1, 0x69, 0>>,
        <<1, 0x40, 1>> <> name("x") <> <<1, 1, 0>>
      ] ++ exports

    instance = <<0x42>> <> vec(declared)

    case how do
      :import ->
        component([
          section(7, vec([instance])),
          section(10, vec(for at <- 1..times, do: <<0>> <> name("i#{at}") <> <<5, 0>>))
        ])

      :export ->
        outer =
          <<0x42>> <>
            vec([
              <<2, 3, 2, 1, 0>> | for(at <- 1..times, do: <<4, 0>> <> name("i#{at}") <> <<5, 0>>)
            ])

        component([section(7, vec([instance, outer]))])

      :nested ->
        alias = section(6, vec([<<3, 2, 1, 0>>]))

        part = fn ->
          section(
            4,
            component([
              alias,
              section(
                10,
                vec(for at <- 1..(div(times, 10) + 1), do: <<0>> <> name("i#{at}") <> <<5, 0>>)
              )
            ])
          )
        end

        component([section(7, vec([instance])) | for(_ <- 1..10, do: part.())])
    end
  end

  # A component with many items, instantiated often.
  defp copies(what, items, times, again) do
    function = section(7, vec([<<0x40, 0, 1, 0>>]))
    import = section(10, vec([<<0>> <> name("f") <> <<1, 0>>]))
    bag = section(5, vec([<<1>> <> vec([<<0>> <> name("f") <> <<1, 0>>])]))

    inner =
      case what do
        :exports ->
          component([
            function,
            import,
            section(11, vec(for at <- 1..items, do: <<0>> <> name("e#{at}") <> <<1, 0, 0>>))
          ])

        :aliases ->
          component([
            function,
            import,
            bag,
            section(6, vec(List.duplicate(<<1, 0, 0>> <> name("f"), items)))
          ])

        :instances ->
          component([
            function,
            import,
            section(5, vec(List.duplicate(<<1>> <> vec([]), min(items, 990))))
          ])
      end

    with_f = <<1>> <> name("f") <> <<1, 0>>

    middle =
      component([
        function,
        import,
        section(4, inner),
        section(5, vec(List.duplicate(<<0, 0>> <> with_f, times)))
      ])

    component([
      function,
      import,
      section(4, middle),
      section(5, vec(List.duplicate(<<0, 0>> <> with_f, again)))
    ])
  end

  # What one component passes to another goes through code that wasmtime makes.
  defp adapters(leaf, width, height, pairs) do
    inner =
      for row <- 1..height, do: "(type $t#{row} (tuple #{String.duplicate("#{leaf} ", width)}))\n"

    record = "(type $all (tuple #{for row <- 1..height, do: "$t#{row} "}))"
    types = "#{inner}#{record}"

    text = """
    (component
      #{types}
      (type $ft (func (param "x" $all)))
      (component $a
        (alias outer 1 $ft (type $ft))
        (core module $m (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
          (func (export "f") (param i32)))
        (core instance $i (instantiate $m))
        (func (export "f") (type $ft) (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
      (component $b
        (alias outer 1 $ft (type $ft))
        (import "f" (func $f (type $ft)))
        (core module $mem (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $mem (instantiate $mem))
        (core func $l (canon lower (func $f) (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
        (core module $m (import "e" "f" (func (param i32))))
        (core instance $e (export "f" (func $l)))
        (core instance (instantiate $m (with "e" (instance $e)))))
      #{for at <- 1..pairs, do: "(instance $a#{at} (instantiate $a)) (instance (instantiate $b (with \"f\" (func $a#{at} \"f\"))))\n"})
    """

    {:ok, bytes} = Wasmex.Wat.to_wasm(text)
    bytes
  end

  # Each export names its type again, and all of it is compared.
  defp ascribed(width, count) do
    first = square(:tuple, width, 0)
    second = square(:tuple, width, 2)
    function = fn at -> <<0x40, 1>> <> name("x") <> sleb(at) <> <<1, 0>> end
    exports = for at <- 1..count, do: <<0>> <> name("e#{at}") <> <<1, 0, 1, 1, 5>>

    component([
      section(7, vec(first ++ second ++ [function.(1), function.(3)])),
      section(10, vec([<<0>> <> name("f") <> <<1, 4>>])),
      section(11, vec(exports))
    ])
  end

  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
