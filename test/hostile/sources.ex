defmodule Wasmex.Hostile.Sources do
  @moduledoc "WAT and WIT that are correct, small, and much for their parsers."

  @kinds ~w(labels fields words includes documented gated packages resources)a

  # The smallest items, each of which is large for the parser.
  @fields [
    {"(module ", "(func)", ")"},
    {"(module ", "(func(local))", ")"},
    {"(module ", "(func(type 0))", ")"},
    {"(module ", "(type(func))", ")"},
    {"(module ", "(type(struct))", ")"},
    {"(module ", "(rec(type(func)))", ")"},
    {"(module ", "(rec)", ")"},
    {"(module ", "(import\"\"\"\"(func))", ")"},
    {"(module (func)", "(export\"\"(func 0))", ")"},
    {"(module ", "(memory 0)", ")"},
    {"(module ", "(table 0 funcref)", ")"},
    {"(module ", "(tag)", ")"},
    {"(module ", "(data)", ")"},
    {"(module ", "(elem func)", ")"},
    {"(module ", "(elem)", ")"},
    {"(module ", "(elem declare func)", ")"},
    {"(module ", "(global i32 i32.const 0)", ")"},
    {"(module ", "(@custom\"\"\"\")", ")"},
    {"(module ", "(func(export\"\"))", ")"},
    {"(module ", "(func(import\"\"\"\"))", ")"},
    {"(module (func ", "(local i32)", "))"},
    {"(module (func ", "(param i32)", "))"},
    {"(module (func (local ", "i32 ", ")))"},
    {"(module (type (func (param ", "i32 ", "))))"},
    {"(module (type (struct ", "(field i32)", ")))"},
    {"(module (type (struct (field ", "i8 ", "))))"},
    {"(module (elem ", "(item)", "))"},
    {"(module (elem func ", "0 ", "))"},
    {"(module (memory (data ", "\"\"", ")))"},
    {"(module (func ", "nop ", "))"},
    {"(module (func ", "(nop)", "))"},
    {"(module (func ", "block end ", "))"},
    {"(module (func ", "(block)", "))"},
    {"(module (func ", "try_table end ", "))"},
    {"(module (func ", "i32.const 0 ", "))"},
    {"(module (func ", "v128.const i64x2 0 0 ", "))"},
    {"(module (func ", "br_table 0 ", "))"},
    {"(module (func ", "call_indirect ", "))"},
    {"(module (func ", "call_indirect(type 0) ", "))"},
    {"(module (func ", "i32.load ", "))"},
    {"(module (func ", "select(result) ", "))"},
    {"(module (func br_table ", "0 ", "))"},
    {"(module (func ", "(@metadata.code.branch_hint \"\\00\") if end ", "))"},
    {"(component ", "(component)", ")"},
    {"(component ", "(core module)", ")"},
    {"(component ", "(type u8)", ")"},
    {"(component ", "(type(list u8))", ")"},
    {"(component ", "(type(func))", ")"},
    {"(component ", "(type(component))", ")"},
    {"(component ", "(type(instance))", ")"},
    {"(component ", "(core type(func))", ")"},
    {"(component ", "(core type(module))", ")"},
    {"(component ", "(instance)", ")"},
    {"(component ", "(core instance)", ")"},
    {"(component ", "(import\"a\"(func))", ")"},
    {"(component ", "(alias outer 0 0(type))", ")"},
    {"(component ", "(canon resource.new 0(core func))", ")"},
    {"(component ", "(core func(canon resource.drop 0))", ")"},
    {"(component ", "(export\"a\"(func 0))", ")"},
    {"(component ", "(start 0)", ")"},
    {"(component (type (tuple ", "u8 ", ")))"},
    {"(component (type (tuple ", "(list u8)", ")))"},
    {"(component (type (record ", "(field\"a\"u8)", ")))"},
    {"(component (type (variant ", "(case\"a\")", ")))"},
    {"(component (type (flags ", "\"\"", ")))"},
    {"(component (type (func ", "(param\"a\"u8)", ")))"},
    {"(component (type (instance ", "(type u8)", ")))"},
    {"(component (type (component ", "(import\"a\"(func))", ")))"},
    {"(component (instance (instantiate 0 ", "(with\"a\"(func 0))", ")))"},
    {"(component (core instance (instantiate 0 ", "(with\"a\"(instance 0))", ")))"},
    {"(component (core instance (instantiate 0 (with\"a\"(instance ", "(export\"\"(func 0))",
     ")))))"},
    {"(component (import \"a\" (instance ", "(export\"a\"(func))", ")))"}
  ]

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  # Labels by name are looked for from the innermost block.
  def make(:labels) do
    depth = size(600_000)
    times = size(800_000)
    branch = one(["br $l ", "br_if $l ", "br_table $l ", "local.get $l "])

    {:wat,
     one([
       fn ->
         "(module (func (param $l i32) block $l #{String.duplicate("block $a ", depth)}#{String.duplicate(branch, times)}#{String.duplicate("end ", depth + 1)}))"
       end,
       fn ->
         "(module (func (block $l #{String.duplicate("(block $a ", depth)}#{String.duplicate("br $l ", times)}#{String.duplicate(")", depth + 1)}))"
       end,
       fn ->
         "(module (func block $l #{String.duplicate("block $a ", depth)} br_table #{String.duplicate("$l ", times)} #{String.duplicate("end ", depth + 1)}))"
       end,
       fn ->
         "(module (tag $t) (func block $l #{String.duplicate("block ", depth)} try_table #{String.duplicate("(catch $t $l) ", times)} end #{String.duplicate("end ", depth + 1)}))"
       end
     ]).()}
  end

  def make(:fields) do
    {before, field, behind} = one(@fields)
    {:wat, before <> String.duplicate(field, size(div(16_000_000, byte_size(field)))) <> behind}
  end

  def make(:words) do
    many = size(15_000_000)

    {:wat,
     one([
       fn -> String.duplicate(";;\n", div(many, 3)) <> "(module)" end,
       fn -> String.duplicate("(;", div(many, 2)) end,
       fn ->
         String.duplicate("(;", div(many, 4)) <>
           String.duplicate(";)", div(many, 4)) <> "(module)"
       end,
       fn -> "(module (func i32.const " <> String.duplicate("1_1", div(many, 3)) <> "))" end,
       fn -> "(module (func f64.const " <> String.duplicate("9", many) <> "))" end,
       fn -> "(module (func f64.const 0x1." <> String.duplicate("9", many) <> "p9999999))" end,
       fn -> "(module (func f32.const 1e" <> String.duplicate("9", many) <> "))" end,
       fn -> "(module (func f64.const 0." <> String.duplicate("0", many) <> "1))" end,
       fn -> "(module $" <> String.duplicate("x", many) <> ")" end,
       fn -> "(module (func $\"" <> String.duplicate("\\u{10ffff}", div(many, 10)) <> "\"))" end,
       fn -> "(module (@name \"" <> String.duplicate("x", many) <> "\"))" end,
       fn -> "(module (data \"" <> String.duplicate("\\00", div(many, 3)) <> "\"))" end,
       fn -> "(module quote #{String.duplicate("\"x\" ", div(many, 4))})" end,
       fn -> "(module binary #{String.duplicate("\"\\00asm\" ", div(many, 9))})" end,
       fn -> String.duplicate("(module)", div(many, 8)) end,
       fn -> "(module (func " <> String.duplicate("(i32.eqz ", div(many, 9)) <> "))" end,
       fn ->
         "(module (func " <>
           String.duplicate("(i32.eqz ", div(many, 10)) <>
           "i32.const 0" <> String.duplicate(")", div(many, 10)) <> "))"
       end,
       fn -> "(module (func (param " <> String.duplicate("(ref ", div(many, 5)) end,
       fn ->
         String.duplicate("(@a ", div(many, 5)) <>
           String.duplicate(")", div(many, 5)) <> "(module)"
       end,
       fn -> "(module (data " <> String.duplicate("(i8 ", div(many, 4)) <> "))" end,
       fn -> "\uFEFF" <> String.duplicate("é", div(many, 2)) end,
       fn -> String.duplicate("\u202E", div(many, 3)) end
     ]).()}
  end

  # Names of what is included, as often as there are names.
  def make(:includes) do
    count = size(300_000)
    items = each(count, &"import a#{&1}: func();")
    renames = each(count, &"a#{&1} as b#{&1},")
    {:wit, "package a:b; world x { #{items} } world y { include x with { #{renames} } }"}
  end

  def make(:documented) do
    count = size(100_000)
    line = one(["/// x\n", "/** x */ ", "/// " <> String.duplicate("<{(", 100) <> "\n", "///\n"])
    docs = String.duplicate(line, count)

    {:wit,
     one([
       fn -> "package a:b;\n" <> docs <> "world w {}" end,
       fn ->
         "package a:b; interface i { " <>
           each(div(count, 10) + 1, &"#{line} type t#{&1} = u8;") <> "} world w { import i; }"
       end,
       fn -> docs <> "package a:b;\n world w {}" end,
       fn ->
         "package a:b; interface i { record r { " <>
           each(div(count, 10) + 1, &"#{line} f#{&1}: u8,") <>
           "} } " <> each(size(500), &"world w#{&1} { import i; }")
       end
     ]).()}
  end

  def make(:gated) do
    count = size(50_000)

    gate =
      one([
        "@since(version = 1.0.0) ",
        "@unstable(feature = x) ",
        "@since(version = 1.0.0) @deprecated(version = 2.0.0) ",
        String.duplicate("@since(version = 1.0.0) ", 100),
        "@unstable(feature = #{String.duplicate("x", 1000)}) ",
        "@since(version = 999999999999999999999.0.0) ",
        "@x ",
        "@since(version = 1.0.0-#{String.duplicate("a.", 500)}a) "
      ])

    {:wit,
     one([
       fn ->
         "package a:b@1.0.0; interface i { #{each(count, &"#{gate} type t#{&1} = u8;")} } world w { #{gate} import i; }"
       end,
       fn ->
         "package a:b@1.0.0; #{each(count, &"#{gate} interface i#{&1} {}")} world w { #{each(count, &"#{gate} import i#{&1};")} }"
       end,
       fn -> "package a:b@1.0.0; #{String.duplicate(gate, count)} world w {}" end
     ]).()}
  end

  def make(:packages) do
    count = size(3_000)

    {:wit,
     one([
       fn ->
         each(
           count,
           &"package a:p#{&1} { interface i { use a:p#{max(&1 - 1, 1)}/i.{t}; type t = u8; } } "
         )
       end,
       fn ->
         each(count, &"package a:p#{&1} { interface i { use a:p#{rem(&1, count) + 1}/i.{t}; } } ")
       end,
       fn -> "package a:b; interface i { use i.{t}; }" end,
       fn ->
         "package a:b; " <> each(count, &"interface i#{&1} { use i#{rem(&1, count) + 1}.{t}; }")
       end,
       fn ->
         "package a:b; " <> each(count, &"world w#{&1} { include w#{rem(&1, count) + 1}; }")
       end,
       fn ->
         "package a:b; " <> each(count, &"interface i { type t#{&1} = t#{rem(&1, count) + 1}; }")
       end,
       fn ->
         "package a:b; interface i { " <>
           each(count, &"type t#{&1} = t#{rem(&1, count) + 1};") <> "}"
       end,
       fn ->
         "package a:b; interface i { record r { r: r } variant v { v(v) } type t = list<t>; }"
       end,
       fn -> "package #{String.duplicate("a:", count)}b; world w {}" end,
       fn -> "package a:b/#{String.duplicate("c/", count)}d; world w {}" end,
       fn -> "package a:b@#{String.duplicate("1.", count)}0; world w {}" end,
       fn -> "package a:b; " <> each(count, fn _ -> "package c:d { " end) end,
       fn ->
         "package a:b; world w { #{each(count, &"import i#{&1}: interface { f: func(); }")} }"
       end,
       fn -> "package a:b; world w { #{each(count, &"import a:b/i@#{&1}.0.0;")} }" end,
       fn -> "package a:b; use a:c/d as #{String.duplicate("%", count)}; " end,
       fn -> "package a:b; interface %#{String.duplicate("a-", count)}b {}" end
     ]).()}
  end

  def make(:resources) do
    count = size(20_000)

    {:wit,
     one([
       fn ->
         "package a:b; interface i { resource r { #{each(count, &"f#{&1}: func(a: borrow<r>) -> own<r>;")} } } world w { import i; export i; }"
       end,
       fn ->
         "package a:b; interface i { #{each(count, &"resource r#{&1} { constructor(); }")} } world w { import i; export i; }"
       end,
       fn ->
         "package a:b; interface i { resource r { #{String.duplicate("constructor(); ", count)} } }"
       end,
       fn ->
         "package a:b; interface i { f: func(#{each(count, &"a#{&1}: u8,")}); } world w { import i; }"
       end,
       fn ->
         "package a:b; interface i { flags f { #{each(count, &"a#{&1},")} } } world w { export i; }"
       end,
       fn ->
         "package a:b; world w { #{each(count, &"use i.{t as t#{&1}};")} } interface i { type t = u8; }"
       end,
       fn ->
         "package a:b; interface i { #{each(count, &"use j.{t as t#{&1}};")} } interface j { resource t; } world w { import i; }"
       end,
       fn ->
         "package a:b; world w { #{each(count, &"export f#{&1}: async func(a: stream<u8>) -> future<error-context>;")} }"
       end
     ]).()}
  end

  defp each(count, line), do: Enum.map_join(1..count, "", line)
  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
