defmodule Wasmex.ComponentNamesTest do
  # Names of WIT that mean something to Elixir, wherever a name can stand.
  use ExUnit.Case, async: true

  @moduletag :tmp_dir

  # Words, special forms, what Kernel and typespecs define, and what generated modules define for themselves.
  @names ~w(true false nil when and or not in fn do end catch rescue after else
            alias case cond for import quote receive require super try unquote unquote-splicing with
            def defp defmacro defmodule defstruct defexception defdelegate defguard defoverridable defprotocol defimpl
            use if unless raise reraise destructure dbg then tap binding match send self spawn node max apply exit throw
            var struct module function any atom map tuple integer float list number byte char string binary boolean bool
            keyword charlist iodata iolist mfa pid port reference term none no-return as-boolean timeout identifier arity
            nonempty-charlist nonempty-list improper-list maybe-improper-list non-neg-integer pos-integer bitstring
            record option result enum flags variant dynamic opaque type spec callback record-type t
            module-info behaviour-info info start-link instantiate child-spec names imports bytes target opts handle new
            drop host path init a1 x)

  defp compile(dir, wit, opts \\ "") do
    path = Path.join(dir, "names.wit")
    File.write!(path, wit)
    module = "Names#{System.unique_integer([:positive])}"
    code = "defmodule #{module} do\nuse Wasmex.Component, wit: #{inspect(path)}#{opts}\nend"
    modules = for {compiled, _} <- Code.compile_string(code), do: compiled
    {String.to_atom("Elixir." <> module), modules}
  end

  # A module each takes a while: not of all, unless there is time.
  defp some do
    if System.get_env("WASMEX_STRESS"),
      do: @names,
      else: Enum.uniq(Enum.take_every(@names, 4) ++ ~w(unquote nil struct))
  end

  defp functions(module), do: for({name, _} <- module.__info__(:functions), do: name)

  defp module!(modules, suffix),
    do:
      Enum.find(modules, &String.ends_with?(inspect(&1), suffix)) ||
        flunk("no #{suffix} in #{inspect(modules)}")

  test "of functions, in a world and in interfaces, exported and imported", %{tmp_dir: dir} do
    functions = Enum.map_join(@names, "\n", &"%#{&1}: func(a: u8, b: string) -> u8;")
    none = Enum.map_join(@names, "\n", &"%#{&1}: func();")
    exports = Enum.map_join(@names, "\n", &"export %#{&1}: func(a: u8);")

    wit =
      "package a:b; interface i { #{functions} } interface j { #{none} } interface k { #{functions} } " <>
        "world w { export i; export j; import k; #{exports} }"

    {root, modules} = compile(dir, wit)

    for module <- [root, module!(modules, ".I"), module!(modules, ".J")], name <- @names do
      name = String.replace(name, "-", "_")
      all = functions(module) |> Enum.map(&Atom.to_string/1)
      assert name in all or (name <> "_") in all, "#{name} in #{inspect(module)}"
      assert (name <> "!") in all or (name <> "_!") in all
    end

    callbacks = module!(modules, ".Imports.K").behaviour_info(:callbacks)
    assert length(callbacks) == length(@names)
  end

  test "of parameters", %{tmp_dir: dir} do
    params = Enum.map_join(@names, ", ", &"%#{&1}: u8")

    each =
      @names
      |> Enum.with_index()
      |> Enum.map_join("\n", fn {name, n} -> "g#{n}: func(%#{name}: u8);" end)

    functions = "f: func(#{params}); #{each}"

    wit =
      "package a:b; interface i { #{functions} } interface k { #{functions} } world w { export i; import k; }"

    {_root, modules} = compile(dir, wit)
    assert {:f, length(@names) + 2} in module!(modules, ".I").__info__(:functions)
  end

  test "of types", %{tmp_dir: dir} do
    for {kind, names, opts} <- [
          {&"type %#{&1} = u8;", @names, ""},
          {&"record %#{&1} { x: u8 }", some(), ", structs: true"},
          {&"variant %#{&1} { x(u8), y }", @names, ""}
        ] do
      types = Enum.map_join(names, "\n", kind)

      uses =
        names
        |> Enum.take_every(4)
        |> Enum.with_index()
        |> Enum.map_join("\n", fn {name, n} -> "g#{n}: func(v: %#{name}) -> %#{name};" end)

      wit =
        "package a:b; interface i { #{types} #{uses} } interface k { #{types} #{uses} } world w { export i; import k; }"

      {_root, modules} = compile(dir, wit, opts)
      assert :g0 in functions(module!(modules, ".I"))
    end
  end

  test "of fields, cases and flags", %{tmp_dir: dir} do
    fields = Enum.map_join(@names, ", ", &"%#{&1}: u8")
    names = Enum.map_join(@names, ", ", &"%#{&1}")
    cases = Enum.map_join(@names, ", ", &"%#{&1}(u8)")
    some = @names |> Enum.take(30) |> Enum.map_join(", ", &"%#{&1}")

    wit =
      "package a:b; interface i { record r { #{fields} } enum e { #{names} } variant v { #{cases} } flags f { #{some} } " <>
        "g: func(r: r, e: e, v: v, f: f) -> r; } world w { export i; }"

    for opts <- ["", ", structs: true"], do: compile(dir, wit, opts)
    {_root, modules} = compile(dir, wit, ", structs: true")
    assert %{nil: nil, struct: nil, var: nil} = struct(module!(modules, ".I.R"))
  end

  test "of interfaces, resources and methods", %{tmp_dir: dir} do
    names = some() -- ~w(imports)
    interfaces = Enum.map_join(names, "\n", &"interface %#{&1} { f: func(); }")
    exports = Enum.map_join(names, "\n", &"export %#{&1};")
    {_root, modules} = compile(dir, "package a:b; #{interfaces} world w { #{exports} }")
    assert length(modules) == length(names) + 1

    methods = Enum.map_join(@names, "\n", &"%#{&1}: func(a: u8);")
    statics = Enum.map_join(@names, "\n", &"%s-#{&1}: static func(a: u8);")

    resources =
      Enum.map_join(
        some(),
        "\n",
        &"resource %#{&1} { constructor(a: u8); get: func() -> u8; }"
      )

    wit =
      "package a:b; interface i { resource r { constructor(a: u8); #{methods} #{statics} } } interface j { #{resources} } " <>
        "world w { export i; export j; }"

    {_root, modules} = compile(dir, wit)
    assert :unquote_ in functions(module!(modules, ".I.R"))
    assert :get in functions(module!(modules, ".J.Unquote"))
  end

  test "that are the same once they are Elixir's", %{tmp_dir: dir} do
    # Words of capitals are words, too.
    wit =
      "package a:b; interface a-b { f: func(); } interface AB { g: func(); } interface i { resource x-y { f: func(); } " <>
        "resource XY { g: func(); } record p-q { x: u8 } record PQ { y: u8 } } world w { export a-b; export AB; export i; }"

    for opts <- ["", ", structs: true"] do
      {_root, modules} = compile(dir, wit, opts)
      assert length(modules) == length(Enum.uniq(modules))
      assert Enum.count(modules, &(functions(&1) |> Enum.member?(:f))) == 2
      assert Enum.count(modules, &(functions(&1) |> Enum.member?(:g))) == 2
    end
  end

  test "of functions of the drop-in API and of plug-ins", %{tmp_dir: dir} do
    path = Path.join(dir, "server.wit")
    names = @names -- ~w(start-link child-spec module-info)
    exports = Enum.map_join(names, " ", &"export %#{&1}: func(a: u8, b: u8);")
    File.write!(path, "package a:b; world w { #{exports} }")
    code = "use Wasmex.Components.ComponentServer, wit: #{inspect(path)}"
    [{server, _}] = Code.compile_string("defmodule NamesServer do #{code}\nend")
    functions = functions(server)

    for name <- [:when_, :unquote_, :unquote_splicing_, :var, :self],
        do: assert(name in functions)

    path = Path.join(dir, "schema.yaml")
    names = ~w(unquote when def if nil struct var node do fn self moduleInfo)
    type = "{input: {type: string, contentType: text/plain}}"
    listed = Enum.map_join(names, "", &"  #{&1}: #{type}\n")
    File.write!(path, "version: v1-draft\nexports:\n#{listed}imports:\n#{listed}")
    code = "use Wasmex.Plugin, source: \"test/guests/plugins/shop.wat\", schema: #{inspect(path)}"

    modules =
      for {module, _} <- Code.compile_string("defmodule NamesPlugin do #{code}\nend"), do: module

    functions = functions(module!(modules, "NamesPlugin"))
    for name <- [:when_, :unquote_, :var, :self, :module_info_], do: assert(name in functions)
    callbacks = module!(modules, ".Imports").behaviour_info(:callbacks)
    assert length(callbacks) == length(names)
  end
end
