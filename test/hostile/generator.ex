defmodule Wasmex.Hostile.Generator do
  @moduledoc "Bytes that are small, and ask for much: the same for the same kind and seed."

  import Wasmex.HostileBytes

  alias Wasmex.Hostile.{
    Composed,
    Doors,
    Functions,
    Interfaces,
    Lifting,
    Running,
    Sources,
    Texts,
    Values
  }

  @guests Path.wildcard("test/guests/**/*.wasm")

  @kinds ~w(nested_types nested_components tables memories doubling tuples chain names locals calls branches blocks
    loops nest aliases structures globals types imports exports elements data segments custom wit uses wat wat_items compared long_names mutated shuffled)a

  @others [Texts, Values, Functions, Composed, Sources, Running, Interfaces, Lifting, Doors]

  @doc "All kinds of input."
  def kinds, do: @kinds ++ Enum.flat_map(@others, & &1.kinds())

  @doc "The input of this kind and seed, such as `{:wasm, bytes}` or `{:wit, text}`; see `Wasmex.Hostile.Feed`."
  def input(kind, seed) do
    :rand.seed(:exsss, {seed, :erlang.phash2(kind), 7})

    case Enum.find(@others, &(kind in &1.kinds())) do
      nil -> make(kind)
      other -> other.make(kind)
    end
  end

  defp make(:nested_types), do: wasm(nested_types(size(100_000), one([0x41, 0x42])))

  defp make(:nested_components) do
    # Each level writes the ones in it again.
    inner = fn _, inner -> component([section(4, inner)]) end
    wasm(Enum.reduce(1..size(2_000), component([]), inner))
  end

  defp make(:tables) do
    bomb = table_bomb(size(100))
    wasm(one([bomb, component(List.duplicate(section(1, bomb), size(50)))]))
  end

  defp make(:memories) do
    count = size(100)
    far = size(30_000_000)
    pages = uleb(div(far, 65_536) + 2)

    segments =
      for memory <- 0..(count - 1), at <- [0, far] do
        <<2>> <> uleb(memory) <> <<0x41>> <> sleb(at) <> <<0x0B, 1, 65>>
      end

    memories = List.duplicate(<<0>> <> pages, count)
    wasm(module([section(5, vec(memories)), section(11, vec(segments))]))
  end

  defp make(:doubling) do
    times = size(10)

    levels =
      for level <- 0..size(40) do
        instances = section(5, vec(List.duplicate(<<0, 0, 0>>, times)))
        section(4, component([section(6, vec([<<4, 2, 1>> <> uleb(level)])), instances]))
      end

    last = section(5, vec([<<0>> <> uleb(length(levels)) <> <<0>>]))
    wasm(component([section(4, component([])) | levels] ++ [last]))
  end

  defp make(:tuples) do
    depth = size(30)
    width = size(5)

    tuples =
      for level <- 0..depth,
          do: <<0x6F>> <> vec(List.duplicate(uleb(level), width))

    function = <<0x40, 1>> <> name("x") <> uleb(depth + 1) <> <<1, 0>>
    import_of = <<0>> <> name("f") <> <<1>> <> uleb(depth + 2)
    types = section(7, vec([<<0x6F, 1, 0x7D>> | tuples] ++ [function]))
    wasm(component([types, section(10, vec([import_of]))]))
  end

  defp make(:chain) do
    lists = for level <- 0..size(50_000), do: <<one([0x70, 0x6B])>> <> sleb(level)
    wasm(component([section(7, vec([<<0x70, 0x7D>> | lists]))]))
  end

  defp make(:names) do
    parts =
      one([
        ~w(S_ S0_ S1_ I E 1a N P i _Z DTcv qu),
        ~w(B_ B0_ I N C 1a T E X Y M s_ R),
        ["x", "\e[2J", "\u202E"]
      ])

    prefix = one(["_Z1f", "_ZN", "_R", "_RINv", "$s", "", "__Z"])
    repeated = for _ <- 1..size(10), do: List.duplicate(one(parts), size(200))
    wasm(named(IO.iodata_to_binary([prefix | repeated])))
  end

  defp make(:locals) do
    body = name(vec([uleb(size(50_000)) <> <<0x7F>>]) <> <<0x0B>>)
    wasm(functions(List.duplicate(body, size(20_000))))
  end

  defp make(:calls) do
    call = one([<<0x10, 0>>, <<0x41, 0, 0x11, 1, 0>>, <<0x14, 1>>])
    wasm(function(:binary.copy(call, size(200_000)), [wide(size(1_000))], [table()]))
  end

  defp make(:branches) do
    targets = size(200_000)
    branch = <<0x41, 0, 0x0E>> <> uleb(targets) <> :binary.copy(<<0>>, targets + 1)
    wasm(function(<<2, 0x40>> <> branch <> <<0x0B>>))
  end

  defp make(:blocks) do
    count = size(100_000)
    values = size(100)
    open = one([<<2, 0x40>>, <<0x41, 0, 4, 0x40>>, <<2, 1>>])
    pushed = :binary.copy(<<0x41, 0>>, values)
    nested = :binary.copy(open, count) <> :binary.copy(<<0x0B>>, count)
    row = :binary.copy(open <> <<0x0B>>, count)
    dropped = :binary.copy(<<0x1A>>, values)
    wasm(function(pushed <> one([nested, row]) <> dropped, [wide(values)]))
  end

  defp make(:loops) do
    count = size(5_000)
    nested = :binary.copy(<<3, 0x40>>, count) <> :binary.copy(<<0x0B>>, count)
    wasm(function(one([nested, :binary.copy(<<3, 0x40, 0x0B>>, count)])))
  end

  # Loops or conditions in one another, and many locals that are written inside.
  defp make(:nest) do
    count = size(3_000)
    depth = size(3_000)
    open = one([<<3, 0x40>>, <<0x20, 0, 4, 0x40>>, <<2, 0x40>>])
    close = one([<<0x0B>>, <<0x20, 0, 0x0D, 0, 0x0B>>])
    sets = for local <- 0..(count - 1), do: [0x20, uleb(local), 0x45, 0x21, uleb(local)]
    gets = for local <- 0..(count - 1), do: [0x20, uleb(local), 0x1A]
    body = [:binary.copy(open, depth), sets, :binary.copy(close, depth), gets, 0x0B]
    locals = vec([uleb(count) <> <<0x7F>>])
    wasm(functions([name(locals <> IO.iodata_to_binary(body))]))
  end

  # Many globals, each of them used in another block.
  defp make(:aliases) do
    count = size(20_000)
    global = one([<<0x7F, 1, 0x41, 0, 0x0B>>, <<0x6F, 1, 0xD0, 0x6F, 0x0B>>])
    value = if match?(<<0x7F, _::binary>>, global), do: <<0x41, 1>>, else: <<0xD0, 0x6F>>
    {open, close} = one([{<<0x41, 0, 4, 0x40>>, <<0x0B>>}, {<<3, 0x40>>, <<0x0B>>}, {"", ""}])
    nested? = one([true, false])

    blocks =
      for at <- 0..(count - 1),
          do: [open, value, 0x24, uleb(at), if(nested?, do: "", else: close)]

    closes = if nested?, do: :binary.copy(close, count), else: ""
    body = IO.iodata_to_binary([0, blocks, closes, 0x0B])
    wasm(functions([name(body)], [section(6, vec(List.duplicate(global, count)))]))
  end

  defp make(:structures) do
    struct = <<0x5F>> <> vec(List.duplicate(<<0x7F, 0>>, size(1_000)))
    wasm(function(:binary.copy(<<0xFB, 1, 1, 0x1A>>, size(20_000)), [struct]))
  end

  defp make(:globals) do
    plain = <<0x7F, 0, 0x41, 0, 0x0B>>
    struct = <<0x63, 0, 0, 0xFB, 1, 0, 0x0B>>
    globals = List.duplicate(one([plain, plain, struct]), size(200_000))
    wasm(module([section(1, vec([<<0x5F, 1, 0x7F, 0>>])), section(6, vec(globals))]))
  end

  defp make(:types) do
    types =
      for number <- 1..size(60_000),
          do:
            <<0x60>> <>
              vec(for(bit <- 0..15, do: <<0x7E + rem(Bitwise.bsr(number, bit), 2)>>)) <> <<0>>

    group = <<1, 0x4E>> <> vec(List.duplicate(<<0x5F, 0>>, size(200_000)))
    wasm(module([section(1, one([vec(types), group]))]))
  end

  defp make(:imports) do
    names = for number <- 1..size(120_000), do: name("a") <> name("#{number}") <> <<0, 0>>
    wasm(module([section(1, vec([<<0x60, 0, 0>>])), section(2, vec(names))]))
  end

  defp make(:exports) do
    long = String.duplicate("x", size(100_000))
    names = for number <- 1..size(1_000), do: name("#{number}#{long}") <> <<0, 0>>
    wasm(functions([<<2, 0, 0x0B>>], [section(7, vec(names))]))
  end

  defp make(:elements) do
    count = size(60_000)
    segment = <<4, 0x41, 0, 0x0B>> <> vec(List.duplicate(<<0xD2, 0, 0x0B>>, count))
    tables = section(4, vec([<<0x70, 0>> <> uleb(count)]))
    wasm(functions([<<2, 0, 0x0B>>], [tables, section(9, vec([segment]))]))
  end

  defp make(:data) do
    offset = one([<<0x41, 0, 0x0B>>, <<0x23, 0, 0x0B>>])
    segments = List.duplicate(<<0>> <> offset <> <<1, 65>>, size(120_000))
    global = section(2, vec([name("a") <> name("g") <> <<3, 0x7F, 0>>]))
    wasm(module([global, section(5, vec([<<0, 1>>])), section(11, vec(segments))]))
  end

  defp make(:segments) do
    count = size(50_000)
    segments = for at <- 1..count, do: <<0, 0x41>> <> sleb(at) <> <<0x0B, 1, 0>>
    tables = section(4, vec([<<0x70, 0>> <> uleb(count + 2)]))
    wasm(functions([<<2, 0, 0x0B>>], [tables, section(9, vec(segments))]))
  end

  defp make(:custom) do
    names =
      ~w(name producers .debug_info .debug_abbrev .debug_line .debug_str metadata.code.branch_hint linking
      target_features component-name component-type:x sourceMappingURL)

    customs = for _ <- 1..size(50), do: custom(one(names), :rand.bytes(size(5_000)))
    trapping = named("f")
    wasm(one([trapping <> IO.iodata_to_binary(customs), component(customs)]))
  end

  defp make(:wit) do
    {open, close} =
      one([{"list<", ">"}, {"tuple<u8, ", ">"}, {"option<", ">"}, {"(", ")"}, {"{", "}"}])

    depth = size(50_000)
    between = one(["", " ", "/* > */", "// }\n"])
    nested = String.duplicate(open <> between, depth) <> "u8" <> String.duplicate(close, depth)

    chain =
      for level <- 1..size(5_000),
          into: "type t0 = u8; ",
          do: "type t#{level} = list<t#{level - 1}>; "

    {:wit,
     "package a:b; interface i { #{one(["type t = #{nested};", chain])} } world w { import i; }"}
  end

  # Interfaces, worlds and packages that use and include one another, and names that are repeated.
  defp make(:uses) do
    count = size(30_000)
    few = size(3_000)
    long = String.duplicate("n", size(500_000))
    each = fn count, line -> Enum.map_join(1..count, "\n", line) end

    chain = each.(count, &"interface i#{&1} { use i#{&1 - 1}.{t}; }")
    first = "interface i0 { type t = u8; }\n"

    text =
      one([
        first <> chain <> "world w { import i#{count}; }",
        first <> chain <> each.(few, &"world w#{&1} { import i#{count}; }"),
        "world w0 {}" <>
          each.(few, &"world w#{&1} { include w#{&1 - 1}; import a#{&1}: func(); }"),
        "interface #{long} { type t = u8; #{each.(few, &"f#{&1}: func(a: t, b: t);")} } world w { import #{long}; }",
        each.(
          few,
          &"package a:p#{&1}@1.0.0-#{binary_part(long, 0, min(byte_size(long), 200))} { interface i {} }"
        ),
        "interface i { #{each.(count, &"type t#{&1} = #{if &1 == 1, do: "u8", else: "t#{&1 - 1}"};")} } world w { import i; }",
        "interface i { enum e { #{each.(count, &"c#{&1},")} } } world w { import i; }",
        each.(few, fn _ -> "/// #{one(["x", "<{(", long])}" end) <> " world w {}"
      ])

    {:wit, "package a:b;\n" <> text}
  end

  # Texts that are correct, and much to resolve or to encode.
  defp make(:wat_items) do
    count = size(30_000)
    each = fn line -> Enum.map_join(1..count, line) end
    name = String.duplicate("x", size(50_000))

    {:wat,
     one([
       "(module #{each.(&"(func $f#{&1} (param i32) (call $f#{&1} (local.get 0)))")})",
       "(module #{each.(&"(type $t#{&1} (func (param #{String.duplicate("i32 ", rem(&1, 50))})))")})",
       "(module (func #{each.(&"block $l#{&1} ")} #{each.(fn _ -> "br $l1 " end)} #{each.(fn _ -> "end " end)}))",
       "(module (func $#{name}) #{each.(fn at -> if rem(at, 100) == 0, do: "(func call $#{name})", else: "" end)})",
       "(module (rec #{each.(&"(type $t#{&1} (sub (struct (field (ref null $t#{max(&1 - 1, 1)})))))")}))",
       "(module (memory (data \"#{each.(fn _ -> "\\00\\u{10ffff}" end)}\")))",
       "(module (table funcref (elem #{each.(fn _ -> "$f " end)})) (func $f))",
       "(module #{each.(&"(@custom \"c#{&1}\" \"x\")")})",
       "(module (global i64 (i64.const #{String.duplicate("9", count)})))",
       "(component (type $x (list u8)) #{String.duplicate("(component ", 40)} #{each.(&"(type $t#{&1} (list $x))")} #{String.duplicate(")", 41)}",
       "(component (import \"a\" (instance $i #{each.(&"(export \"f#{&1}\" (func (param \"a\" (list string))))")})) #{each.(&"(alias export $i \"f#{&1}\" (func))")})",
       "(component #{each.(&"(core module $m#{&1}) (core instance (instantiate $m#{&1}))")})"
     ])}
  end

  # What one component passes to another, often, with types that have many parts.
  defp make(:compared) do
    depth = size(25)
    kind = one([<<0x6F, 2>>, <<0x6A, 1>>])
    second = if kind == <<0x6A, 1>>, do: <<1>>, else: ""
    pairs = for level <- 0..(depth - 1), do: kind <> <<level>> <> second <> <<level>>
    function = <<0x40, 1>> <> name("x") <> uleb(depth) <> <<1, 0>>
    types = section(7, vec([<<0x70, 0x7D>> | pairs] ++ [function]))
    import = section(10, vec([<<0>> <> name("f") <> <<1>> <> uleb(depth + 1)]))
    inner = component(one([[types, import], [types]]))
    instance = <<0, 0>> <> vec([name("f") <> <<1, 0>>])
    instances = section(5, vec(List.duplicate(instance, size(1_000))))
    wasm(component([types, import, section(4, inner), instances]))
  end

  # A type whose name, or whose field, is long, and is used often.
  defp make(:long_names) do
    [field, type, interface] = for _ <- 1..3, do: "a" <> String.duplicate("n", size(60_000))
    record = <<0x72, 1>> <> name(field) <> <<0x7D>>
    inner = <<0x6F>> <> vec(List.duplicate(sleb(1), size(500)))
    outer = <<0x6F>> <> vec(List.duplicate(sleb(2), size(500)))
    function = <<0x40, 1>> <> name("x") <> sleb(3) <> <<1, 0>>
    exported = <<4, 0>> <> name(type) <> <<3, 0, 0>>
    functions = for at <- 1..size(500), do: <<4, 0>> <> name("f#{at}") <> <<1, 4>>

    declared =
      [<<1>> <> record, exported] ++ for(type <- [inner, outer, function], do: <<1>> <> type)

    instance = <<0x42>> <> vec(declared ++ functions)
    import = <<0>> <> name("a:b/" <> interface) <> <<5, 0>>
    wasm(component([section(7, vec([instance])), section(10, vec([import]))]))
  end

  defp make(:wat) do
    open =
      one([
        "(component ",
        "(module ",
        "(func (block ",
        "(i32.eqz ",
        "(; ",
        "(type (func (param ",
        "\"",
        "(@a "
      ])

    depth = size(50_000)
    text = String.duplicate(open, depth) <> String.duplicate(")", depth)
    {:wat, one([text, "(module (func #{text}))", "(component (type #{text}))"])}
  end

  # A real program with some bytes changed.
  defp make(:mutated) do
    bytes = @guests |> one() |> File.read!()
    bytes = binary_part(bytes, 0, min(byte_size(bytes), 300_000))
    wasm(Enum.reduce(1..size(20), bytes, fn _, bytes -> mutate(bytes) end))
  end

  # Sections in any order, with any content.
  defp make(:shuffled) do
    sections = for _ <- 1..size(20), do: section(one(Enum.to_list(0..13)), :rand.bytes(size(60)))
    wasm(one([module(sections), component(sections)]))
  end

  defp mutate(bytes) do
    at = :rand.uniform(byte_size(bytes)) - 1
    {before, <<byte, rest::binary>>} = :erlang.split_binary(bytes, at)

    new =
      one([
        <<:rand.uniform(256) - 1>>,
        <<Bitwise.bxor(byte, 0x80)>>,
        <<0xFF, 0xFF, 0xFF, 0xFF, 0x0F>>,
        "",
        <<byte, byte>>
      ])

    <<before::binary, new::binary, rest::binary>>
  end

  defp wasm(bytes), do: {:wasm, bytes}

  defp wide(count),
    do: <<0x60>> <> vec(List.duplicate(<<0x7F>>, count)) <> vec(List.duplicate(<<0x7F>>, count))

  defp table, do: section(4, vec([<<0x70, 0, 1>>]))

  defp function(instructions, types \\ [], sections \\ []),
    do: functions([name(<<0>> <> instructions <> <<0x0B>>)], sections, types)

  defp functions(bodies, sections \\ [], types \\ []) do
    indices = List.duplicate(<<0>>, length(bodies))
    before = [section(1, vec([<<0x60, 0, 0>> | types])), section(3, vec(indices))]
    module(before ++ sections ++ [section(10, vec(bodies))])
  end

  # Most are small, so that there are many.
  defp size(most), do: max(1, round(:math.pow(most, :math.pow(:rand.uniform(), 3))))
  defp one(list), do: Enum.random(list)
end
