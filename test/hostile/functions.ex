defmodule Wasmex.Hostile.Functions do
  @moduledoc "Functions whose parts meet: exceptions, references, branches, wide types, instructions that become many."

  import Wasmex.HostileBytes

  @kinds ~w(catches references edges wide repeated subtypes)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  # Each call in a block with handlers knows all of them, and each handler takes out all values of its tag.
  def make(:catches), do: {:wasm, catches(size(60), size(10_000), size(1_000) - 1, size(150_000))}

  def make(:references),
    do: {:wasm, references(one(sources()), size(100), size(1_000), size(100_000))}

  def make(:edges),
    do: {:wasm, edges(one([:out, :back, :table, :caught, :null]), size(50_000), size(200_000))}

  def make(:wide),
    do: {:wasm, wide(one([:declared, :exported, :plain]), size(1_000), size(100_000))}

  def make(:repeated), do: {:wasm, repeated(one(instructions()), size(1_500_000))}

  def make(:subtypes),
    do: {:wasm, subtypes(size(62), size(1_000), size(100_000), one([:test, :cast, :branch]))}

  defp catches(nested, catches, arity, calls) do
    values = List.duplicate(<<0x7F>>, arity)
    types = [<<0x60, 0, 0>>, <<0x60>> <> vec(values) <> <<0>>, <<0x60, 0>> <> vec(values)]
    one = <<0x1F, 0x40>> <> uleb(catches) <> :binary.copy(<<0, 0, 0>>, catches)
    # The label is that of the block outside of all.
    open =
      for depth <- 0..(nested - 1), do: if(depth == 0, do: one, else: labelled(catches, depth))

    body = [
      0,
      2,
      2,
      open,
      :binary.copy(<<0x10, 0>>, calls),
      :binary.copy(<<0x0B>>, nested),
      0,
      0x0B,
      :binary.copy(<<0x1A>>, arity),
      0x0B
    ]

    module([
      section(1, vec(types)),
      section(3, vec([<<0>>])),
      section(13, vec([<<0, 1>>])),
      section(10, vec([name(IO.iodata_to_binary(body))]))
    ])
  end

  defp labelled(catches, depth),
    do: <<0x1F, 0x40>> <> uleb(catches) <> :binary.copy(<<0, 0>> <> uleb(depth), catches)

  defp sources do
    [
      # From a table, a global, a parameter, a call, a conversion.
      <<0x41, 0, 0x25, 0>>,
      <<0x23, 0>>,
      <<0x20, 0>>,
      <<0x10, 2>>,
      <<0x20, 0, 0xFB, 0x1A, 0xFB, 0x1B>>
    ]
  end

  # So many references that live across so many calls.
  defp references(source, times, width, calls) do
    values = List.duplicate(<<0x6F>>, width)

    types = [
      <<0x60, 1, 0x6F, 0>>,
      <<0x60>> <> vec(values) <> <<0>>,
      <<0x60, 0, 1, 0x6F>>,
      <<0x60, 0, 0>>
    ]

    body = [
      0,
      :binary.copy(source, times * width),
      :binary.copy(<<0x10, 3>>, calls),
      :binary.copy(<<0x10, 1>>, times),
      0x0B
    ]

    empty = <<2, 0, 0x0B>>

    module([
      section(1, vec(types)),
      section(3, vec([<<0>>, <<1>>, <<2>>, <<3>>])),
      section(4, vec([<<0x6F, 0, 1>>])),
      section(6, vec([<<0x6F, 1, 0xD0, 0x6F, 0x0B>>])),
      section(
        10,
        vec([name(IO.iodata_to_binary(body)), empty, <<4, 0, 0xD0, 0x6F, 0x0B>>, empty])
      )
    ])
  end

  # Ways to one place, and locals that have other values on them.
  defp edges(kind, locals, ways) do
    sets = fn -> for local <- 1..locals, do: [0x20, 0, 0x21, uleb(local)] end
    bump = [0x20, 0, 0x41, 1, 0x6A, 0x21, 0]
    # Each is used afterwards.
    uses = for local <- 1..locals, do: [0x41, 0, 0x20, uleb(local), 0x36, 2, 0]

    way =
      %{
        out: <<0x20, 0, 0x0D, 0>>,
        back: <<0x20, 0, 0x0D, 0>>,
        caught: <<0x10, 1>>,
        null: <<0x23, 0, 0xD5, 0, 0x1A>>,
        table: <<0x20, 0, 0x0E, 1, 0, 1>>
      }[kind]

    half = div(ways, 2) + 1

    {open, close} =
      case kind do
        :back -> {[3, 0x40], [0x0B]}
        :caught -> {[2, 0x40, 0x1F, 0x40, 1, 2, 0], [0x0B, 0x0B]}
        :table -> {[2, 0x40, 2, 0x40], [0x0B, 0x0B]}
        _ -> {[2, 0x40], [0x0B]}
      end

    table = fn ->
      if kind == :table,
        do: :binary.copy(<<2, 0x40, 0x20, 0, 0x0E, 1, 0, 2, 0x0B>>, half),
        else: :binary.copy(way, half)
    end

    body = [
      vec([uleb(locals) <> <<0x7F>>]),
      bump,
      sets.(),
      open,
      table.(),
      bump,
      sets.(),
      table.(),
      close,
      uses,
      0x0B
    ]

    module([
      section(1, vec([<<0x60, 1, 0x7F, 0>>, <<0x60, 0, 0>>])),
      section(3, vec([<<0>>, <<1>>])),
      section(5, vec([<<0, 1>>])),
      section(6, vec([<<0x6F, 1, 0xD0, 0x6F, 0x0B>>])),
      section(10, vec([name(IO.iodata_to_binary(body)), <<2, 0, 0x0B>>]))
    ])
  end

  # Many functions with many parameters and results, which are known outside or not.
  defp wide(how, width, count) do
    values = vec(List.duplicate(<<0x7E>>, width))
    indices = for at <- 0..(count - 1), do: uleb(at)

    known =
      case how do
        :declared ->
          section(9, vec([<<3, 0>> <> vec(indices)]))

        :exported ->
          section(7, vec(for index <- indices, do: name(Base.encode16(index)) <> <<0>> <> index))

        :plain ->
          ""
      end

    module([
      section(1, vec([<<0x60>> <> values <> values])),
      section(3, vec(List.duplicate(<<0>>, count))),
      known,
      section(10, vec(List.duplicate(<<3, 0, 0, 0x0B>>, count)))
    ])
  end

  # {bytes, inputs, output}
  defp instructions do
    plain = fn codes, inputs, output -> for code <- codes, do: {<<code>>, inputs, output} end

    simd = fn codes, inputs, output, extra ->
      for code <- codes, do: {<<0xFD>> <> uleb(code) <> extra, inputs, output}
    end

    # Memory.
    # References and objects: type 1 is a structure of an i32 and an anyref, 2 an array of anyref, 3 one of i8.
    # SIMD.
    # Atomics.
    plain.([0x67, 0x68, 0x69, 0x45, 0xC0, 0xC1], [:i32], :i32) ++
      plain.(Enum.to_list(0x46..0x4F) ++ Enum.to_list(0x6A..0x78), [:i32, :i32], :i32) ++
      plain.([0x50], [:i64], :i32) ++
      plain.(Enum.to_list(0x51..0x5A), [:i64, :i64], :i32) ++
      plain.([0x79, 0x7A, 0x7B, 0xC2, 0xC3, 0xC4], [:i64], :i64) ++
      plain.(Enum.to_list(0x7C..0x8A), [:i64, :i64], :i64) ++
      plain.(Enum.to_list(0x5B..0x60), [:f32, :f32], :i32) ++
      plain.(Enum.to_list(0x8B..0x91), [:f32], :f32) ++
      plain.(Enum.to_list(0x92..0x98), [:f32, :f32], :f32) ++
      plain.(Enum.to_list(0x61..0x66), [:f64, :f64], :i32) ++
      plain.(Enum.to_list(0x99..0x9F), [:f64], :f64) ++
      plain.(Enum.to_list(0xA0..0xA6), [:f64, :f64], :f64) ++
      plain.([0xA7], [:i64], :i32) ++
      plain.([0xA8, 0xA9], [:f32], :i32) ++
      plain.([0xAA, 0xAB], [:f64], :i32) ++
      plain.([0xAC, 0xAD], [:i32], :i64) ++
      plain.([0xAE, 0xAF], [:f32], :i64) ++
      plain.([0xB0, 0xB1], [:f64], :i64) ++
      plain.([0xB2, 0xB3], [:i32], :f32) ++
      plain.([0xB4, 0xB5], [:i64], :f32) ++
      plain.([0xB6], [:f64], :f32) ++
      plain.([0xB7, 0xB8], [:i32], :f64) ++
      plain.([0xB9, 0xBA], [:i64], :f64) ++
      plain.([0xBB], [:f32], :f64) ++
      for(
        code <- 0..7,
        do:
          {<<0xFC, code>>, [Enum.at([:f32, :f32, :f64, :f64], rem(code, 4))],
           if(code < 4, do: :i32, else: :i64)}
      ) ++
      for(
        code <- 0x28..0x35,
        do:
          {<<code, 0, 0>>, [:i32],
           Enum.at(
             [:i32, :i64, :f32, :f64, :i32, :i32, :i32, :i32, :i64, :i64, :i64, :i64, :i64, :i64],
             code - 0x28
           )}
      ) ++
      for(code <- [0x36, 0x3A, 0x3B], do: {<<code, 0, 0>>, [:i32, :i32], nil}) ++
      for(code <- [0x37, 0x3C, 0x3D, 0x3E], do: {<<code, 0, 0>>, [:i32, :i64], nil}) ++
      for(
        code <- [0x28, 0x29],
        do: {<<code, 0x40, 1, 0>>, [:i64], if(code == 0x28, do: :i32, else: :i64)}
      ) ++
      [
        {<<0x36, 0x40, 1, 0>>, [:i64, :i32], nil},
        {<<0x3F, 0>>, [], :i32},
        {<<0x40, 0>>, [:i32], :i32}
      ] ++
      [
        {<<0xFC, 8, 0, 0>>, [:i32, :i32, :i32], nil},
        {<<0xFC, 9, 0>>, [], nil},
        {<<0xFC, 10, 0, 0>>, [:i32, :i32, :i32], nil},
        {<<0xFC, 11, 0>>, [:i32, :i32, :i32], nil},
        {<<0xFC, 12, 0, 0>>, [:i32, :i32, :i32], nil},
        {<<0xFC, 13, 0>>, [], nil},
        {<<0xFC, 14, 0, 0>>, [:i32, :i32, :i32], nil},
        {<<0xFC, 15, 1>>, [:any, :i32], :i32},
        {<<0xFC, 16, 0>>, [], :i32},
        {<<0xFC, 17, 1>>, [:i32, :any, :i32], nil},
        {<<0x25, 0>>, [:i32], :fun},
        {<<0x25, 1>>, [:i32], :any},
        {<<0x26, 1>>, [:i32, :any], nil},
        {<<0xD2, 0>>, [], :fun},
        {<<0x26, 0>>, [:i32, :fun], nil},
        {<<0x1B>>, [:i32, :i32, :i32], :i32},
        {<<0x1B>>, [:v128, :v128, :i32], :v128},
        {<<0x24, 0>>, [:any], nil},
        {<<0x23, 0>>, [], :any}
      ] ++
      [
        {<<0xFB, 2, 1, 0>>, [:st], :i32},
        {<<0xFB, 2, 1, 1>>, [:st], :any},
        {<<0xFB, 5, 1, 0>>, [:st, :i32], nil},
        {<<0xFB, 5, 1, 1>>, [:st, :any], nil},
        {<<0xFB, 11, 2>>, [:ar, :i32], :any},
        {<<0xFB, 14, 2>>, [:ar, :i32, :any], nil},
        {<<0xFB, 12, 3>>, [:by, :i32], :i32},
        {<<0xFB, 14, 3>>, [:by, :i32, :i32], nil},
        {<<0xFB, 15>>, [:by], :i32},
        {<<0xFB, 16, 2>>, [:ar, :i32, :any, :i32], nil},
        {<<0xFB, 16, 3>>, [:by, :i32, :i32, :i32], nil},
        {<<0xFB, 17, 2, 2>>, [:ar, :i32, :ar, :i32, :i32], nil},
        {<<0xFB, 17, 3, 3>>, [:by, :i32, :by, :i32, :i32], nil},
        {<<0xFB, 18, 3, 0>>, [:by, :i32, :i32, :i32], nil},
        {<<0xFB, 20, 0x6B>>, [:any], :i32},
        {<<0xFB, 20, 1>>, [:any], :i32},
        {<<0xFB, 21, 2>>, [:any], :i32},
        {<<0xFB, 22, 1>>, [:any], :st},
        {<<0xFB, 23, 2>>, [:any], :ar},
        {<<0xFB, 26>>, [:ext], :any},
        {<<0xFB, 27>>, [:any], :ext},
        {<<0xFB, 28>>, [:i32], :any},
        {<<0xFB, 29>>, [:i31], :i32},
        {<<0xD1>>, [:any], :i32},
        {<<0xD3>>, [:any, :any], :i32},
        {<<0xFB, 20, 0x70, 0xD1>>, [:any], :i32}
      ] ++
      simd.(Enum.to_list(0..10) ++ [92, 93], [:i32], :v128, <<0, 0>>) ++
      simd.([11], [:i32, :v128], nil, <<0, 0>>) ++
      simd.([13], [:v128, :v128], :v128, :binary.copy(<<31>>, 16)) ++
      simd.([15, 16, 17], [:i32], :v128, "") ++
      simd.([18], [:i64], :v128, "") ++
      simd.([19], [:f32], :v128, "") ++
      simd.([20], [:f64], :v128, "") ++
      simd.([21, 22, 24, 25, 27], [:v128], :i32, <<1>>) ++
      simd.([29], [:v128], :i64, <<1>>) ++
      simd.([31], [:v128], :f32, <<1>>) ++
      simd.([33], [:v128], :f64, <<1>>) ++
      simd.([23, 26, 28], [:v128, :i32], :v128, <<1>>) ++
      simd.([14] ++ Enum.to_list(35..76) ++ [78, 79, 80, 81], [:v128, :v128], :v128, "") ++
      simd.(
        [
          77,
          94,
          95,
          96,
          97,
          98,
          103,
          104,
          105,
          106,
          116,
          117,
          122,
          124,
          125,
          126,
          127,
          128,
          129,
          135,
          136,
          137,
          138,
          148,
          160,
          161,
          167,
          168,
          169,
          170,
          192,
          193,
          199,
          200,
          201,
          202,
          224,
          225,
          227,
          236,
          237,
          239,
          248,
          249,
          250,
          251,
          252,
          253,
          254,
          255,
          257,
          258,
          259,
          260
        ],
        [:v128],
        :v128,
        ""
      ) ++
      simd.([83, 99, 100, 131, 132, 163, 164, 195, 196], [:v128], :i32, "") ++
      simd.(
        [82, 0x109, 0x10A, 0x10B, 0x10C, 0x105, 0x106, 0x107, 0x108, 0x113],
        [:v128, :v128, :v128],
        :v128,
        ""
      ) ++
      simd.(
        [107, 108, 109, 139, 140, 141, 171, 172, 173, 203, 204, 205],
        [:v128, :i32],
        :v128,
        ""
      ) ++
      simd.(
        [101, 102] ++
          Enum.to_list(110..115) ++
          Enum.to_list(118..121) ++
          [123, 130, 133, 134] ++
          Enum.to_list(142..147) ++
          Enum.to_list(149..153) ++
          [155, 156, 157, 158, 159] ++
          [
            174,
            177,
            181,
            182,
            183,
            184,
            185,
            186,
            188,
            189,
            190,
            191,
            206,
            209,
            213,
            214,
            215,
            216,
            217,
            218,
            219,
            220,
            221,
            222,
            223
          ] ++ Enum.to_list(228..235) ++ Enum.to_list(240..247),
        [:v128, :v128],
        :v128,
        ""
      ) ++
      simd.([0x100, 0x10D, 0x10E, 0x10F, 0x110, 0x111, 0x112], [:v128, :v128], :v128, "") ++
      simd.([0x101, 0x102, 0x103, 0x104], [:v128], :v128, "") ++
      [
        {<<0xFE, 0, 2, 0>>, [:i32, :i32], :i32},
        {<<0xFE, 1, 2, 0>>, [:i32, :i32, :i64], :i32},
        {<<0xFE, 3, 0>>, [], nil}
      ] ++
      for(
        code <- [0x10, 0x12],
        do: {<<0xFE, code, if(code == 0x10, do: 2, else: 0), 0>>, [:i32], :i32}
      ) ++
      for(
        code <- [0x1E, 0x25, 0x2C, 0x33, 0x3A, 0x41],
        do: {<<0xFE, code, 2, 0>>, [:i32, :i32], :i32}
      ) ++
      for(
        code <- [0x1F, 0x26, 0x2D, 0x34, 0x3B, 0x42],
        do: {<<0xFE, code, 3, 0>>, [:i32, :i64], :i64}
      ) ++
      [
        {<<0xFE, 0x48, 2, 0>>, [:i32, :i32, :i32], :i32},
        {<<0xFE, 0x49, 3, 0>>, [:i32, :i64, :i64], :i64}
      ]
  end

  # Locals of each type: 0 i32 (a parameter), then these.
  @locals [:i32, :i64, :f32, :f64, :v128, :any, :i31, :st, :ar, :by, :ext, :fun]

  # One instruction, as often as there is room for it. Values go from one to the next, or are loaded and stored.
  defp repeated({code, inputs, output}, most) do
    step =
      if output != nil and inputs != [] and hd(inputs) == output do
        # The first operand is the last result.
        rest = for input <- tl(inputs), do: get(input)
        IO.iodata_to_binary([rest, code])
      else
        sink = if output, do: [0x21, uleb(index(output))], else: []
        IO.iodata_to_binary([for(input <- inputs, do: source(input)), code, sink(output, sink)])
      end

    instructions = length(inputs) + 2
    count = most |> div(instructions) |> min(div(2_000_000, max(byte_size(step), 1))) |> max(1)
    chained? = output != nil and inputs != [] and hd(inputs) == output
    {first, last} = if chained?, do: {get(output), [0x21, uleb(index(output))]}, else: {[], []}
    stores = for type <- [:i32, :i64, :f32, :f64, :v128], do: [0x41, 0, get(type), store(type)]
    globals = for type <- [:any], do: [get(type), 0x24, 0]
    body = [0, first, :binary.copy(step, count), last, stores, globals, 0x0B]

    module([
      section(
        1,
        vec([
          <<0x60, 0, 0>>,
          <<0x5F, 2, 0x7F, 1, 0x6E, 1>>,
          <<0x5E, 0x6E, 1>>,
          <<0x5E, 0x78, 1>>,
          parameters()
        ])
      ),
      section(3, vec([<<4>>])),
      section(4, vec([<<0x70, 0, 1>>, <<0x6E, 0, 1>>])),
      section(5, vec([<<3, 1, 2>>, <<4, 1>>])),
      section(6, vec([<<0x6E, 1, 0xD0, 0x6E, 0x0B>>])),
      section(9, vec([<<1, 0, 1, 0>>])),
      section(12, <<1>>),
      section(10, vec([name(IO.iodata_to_binary(body))])),
      section(11, vec([<<1, 1, 65>>]))
    ])
  end

  # Not locals, whose first values are known.
  defp parameters do
    types = [
      <<0x7F>>,
      <<0x7E>>,
      <<0x7D>>,
      <<0x7C>>,
      <<0x7B>>,
      <<0x6E>>,
      <<0x6C>>,
      <<0x63, 1>>,
      <<0x63, 2>>,
      <<0x63, 3>>,
      <<0x6F>>,
      <<0x70>>
    ]

    <<0x60>> <> vec(types) <> <<0>>
  end

  defp index(type), do: Enum.find_index(@locals, &(&1 == type))
  defp get(type), do: [0x20, uleb(index(type))]

  # Not the same each time, so that it is not computed once for all.
  defp source(:i32), do: <<0x41, 0, 0x28, 0, 0>>
  defp source(:i64), do: <<0x41, 0, 0x29, 0, 0>>
  defp source(:f32), do: <<0x41, 0, 0x2A, 0, 0>>
  defp source(:f64), do: <<0x41, 0, 0x2B, 0, 0>>
  defp source(:v128), do: <<0x41, 0, 0xFD, 0, 0, 0>>
  defp source(type), do: get(type)

  defp sink(nil, _), do: []
  defp sink(type, _) when type in [:i32, :i64, :f32, :f64, :v128], do: drop_into(type)
  defp sink(_type, sink), do: sink

  # A store needs its address first: the value goes through a local.
  defp drop_into(type), do: [0x21, uleb(index(type)), 0x20, 0, get(type), store(type)]
  defp store(:i32), do: <<0x36, 0, 0>>
  defp store(:i64), do: <<0x37, 0, 0>>
  defp store(:f32), do: <<0x38, 0, 0>>
  defp store(:f64), do: <<0x39, 0, 0>>
  defp store(:v128), do: <<0xFD, 11, 0, 0>>

  # Each type below the one before it, and what asks for it.
  defp subtypes(depth, fields, times, what) do
    fields = vec(List.duplicate(<<0x7F, 0>>, fields))

    types =
      for level <- 0..depth do
        supers = if level == 0, do: vec([]), else: vec([uleb(level - 1)])
        <<0x50>> <> supers <> <<0x5F>> <> fields
      end

    heap = sleb(depth)

    ask =
      case what do
        :test ->
          [0x20, 0, 0xFB, 20, heap, 0x1A]

        :cast ->
          [0x20, 0, 0xFB, 23, heap, 0xD1, 0x1A]

        :branch ->
          [2, 0x63, heap, 0x20, 0, 0xFB, 24, 3, 0, 0x6E, heap, 0x1A, 0xD0, heap, 0x0B, 0x1A]
      end

    body = [0, :binary.copy(IO.iodata_to_binary(ask), times), 0x0B]
    at = depth + 1

    module([
      section(1, vec(types ++ [<<0x60, 1, 0x6E, 0>>])),
      section(3, vec([uleb(at)])),
      section(10, vec([name(IO.iodata_to_binary(body))]))
    ])
  end

  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
