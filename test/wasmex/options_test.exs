defmodule Wasmex.OptionsTest do
  use ExUnit.Case, async: true

  alias Wasmex.Options
  alias Wasmex.Options.{Docs, Row, Type}

  defmodule Sample do
    use Wasmex.Options,
      rows: [
        path: [type: :text, required: true, doc: "where it is"],
        size: [type: :bytes, default: 65_536, doc: "how big"],
        env: [type: Wasmex.Options.Type.Env, default: %{}, doc: "variables"],
        stop: [type: Wasmex.Options.Type.Clock, default: :real, doc: "a | b"]
      ]
  end

  @tables [
    Sample,
    Wasmex.Limits,
    Wasmex.EngineConfig,
    Wasmex.StoreLimits,
    Wasmex.Wasi.WasiOptions,
    Wasmex.Wasi.WasiP2Options,
    Wasmex.Wasi.PreopenOptions,
    Wasmex.Program.Options,
    Wasmex.HTTP.Function,
    Wasmex.HTTP.Server,
    Wasmex.Plug
  ]

  defp raised(function), do: assert_raise(ArgumentError, function).message

  describe "types" do
    test "accept their values, and say what they expected instead of others" do
      for {type, accepted, refused} <- types() do
        table = Options.table([o: [type: type, required: true, doc: "o"]], "f/1")

        for value <- accepted do
          assert Options.new!([o: value], table) == %{o: value}
          assert Options.explicit!([o: value], table) == %{o: value}
        end

        for {value, expected} <- refused do
          text = raised(fn -> Options.new!([o: value], table) end)
          assert text =~ "invalid value for :o in f/1"
          assert text =~ "expected " and text =~ expected
          assert text =~ "got: "
        end
      end
    end

    test "have an example, words and a typespec" do
      for {type, _accepted, _refused} <- types() do
        {example, _} = type |> Type.example() |> Code.eval_string()
        assert {:ok, cast} = Type.cast(type, example)
        Type.native(type, cast)
        assert is_binary(Type.expected(type))
        assert type |> Type.spec() |> Macro.to_string() |> Code.string_to_quoted!()
      end
    end

    test "take values to the form that the library works with" do
      assert Type.cast(:name, :alloc) == {:ok, "alloc"}
      assert Type.cast(Type.Imports, %{env: %{log: 1}}) == {:ok, %{"env" => %{"log" => 1}}}
      assert Type.cast(Type.Env, LANG: "C") == {:ok, %{"LANG" => "C"}}
      assert Type.cast(Type.Strings, a: "b") == {:ok, %{"a" => "b"}}

      assert {:ok, [%{path: "a", alias: "/a", read_only: true}, %{path: "b", read_only: false}]} =
               Type.cast(Type.Dirs, [{"/a", {"a", :ro}}, {"/b", "b"}])
    end

    test "give the native side what it reads" do
      assert Type.native(Type.Env, %{"A" => "1"}) == [{"A", "1"}]
      assert Type.native(Type.Clock, :real) == nil
      assert Type.native(Type.Clock, ~U[1970-01-01 00:00:01Z]) == 1_000_000_000
      assert Type.native(Type.Stdio, nil) == :null

      assert Type.native({:list, Type.Address}, ["*:80", "1.2.3.4", "[::1]:1", "*.a.b", "a"]) ==
               [
                 {:any, "", 80, 80},
                 {:ip, "1.2.3.4/32", 0, 65_535},
                 {:ip, "::1/128", 1, 1},
                 {:glob, "*.a.b", 0, 65_535},
                 {:name, "a", 0, 65_535}
               ]
    end
  end

  describe "a struct" do
    test "has the rows as its fields" do
      assert %Sample{path: "a"} == %{
               __struct__: Sample,
               path: "a",
               size: 65_536,
               env: %{},
               stop: :real
             }

      assert_raise ArgumentError, fn -> struct!(Sample, []) end
    end

    test "is checked field by field" do
      assert Sample.validate!(%Sample{path: "a"}) == %Sample{path: "a"}

      assert raised(fn -> Sample.validate!(%Sample{path: 1}) end) =~
               ":path in %Wasmex.OptionsTest.Sample{}: expected a str"

      assert raised(fn -> Sample.validate!(%Sample{path: nil}) end) =~ "invalid value for :path"

      assert raised(fn -> Sample.validate!(%{}) end) =~
               "expected %Wasmex.OptionsTest.Sample{}, got: %{}"
    end

    test "reaches the native side by name" do
      sample = %Sample{path: "a", env: %{"A" => "1"}}

      assert Options.native!(sample, Sample.__options__()) == %{
               path: "a",
               size: 65_536,
               env: [{"A", "1"}],
               stop: nil
             }
    end
  end

  describe "a table" do
    @table Options.table(
             [timeout: [type: :timeout, default: 5, doc: "t"], name: [type: :any, doc: "n"]],
             "f/2"
           )
    @needed Options.table(
              [dir: [type: :text, required: true, doc: "d", example: ~s|"lib"|]],
              "g/1"
            )

    test "gives defaults: the caller's, else the rows'" do
      assert Options.new!([], @table) == %{timeout: 5, name: nil}
      assert Options.new!([name: 1], @table, timeout: 6) == %{timeout: 6, name: 1}
      assert Options.new!([timeout: 1, timeout: 2], @table).timeout == 1
      assert Options.explicit!([name: 1], @table) == %{name: 1}
    end

    test "names what is unknown and the nearest option" do
      for function <- [&Options.new!/2, &Options.explicit!/2] do
        assert raised(fn -> function.([timout: 1], @table) end) ==
                 "unknown option :timout in f/2; did you mean :timeout?"

        assert raised(fn -> function.([{"timeout", 1}], @table) end) =~
                 ~s|unknown option "timeout" in f/2; did you mean :timeout?|

        assert raised(fn -> function.([zzz: 1], @table) end) =~
                 "unknown option :zzz in f/2; there are: :timeout, :name"

        assert raised(fn -> function.([1], @table) end) =~
                 "expected options of f/2 as a keyword list, such as timeout: 5000"

        assert raised(fn -> function.(:a, @table) end) =~ "got: :a"
        assert raised(fn -> function.(%{timeout: 1}, @table) end) =~ "got: %{timeout: 1}"
      end
    end

    test "says what is missing" do
      assert raised(fn -> Options.new!([], @needed) end) ==
               ~s|missing option :dir in g/1, such as dir: "lib"|

      assert Options.new!([dir: "a"], @needed) == %{dir: "a"}
    end

    test "gives an example where the row has one, and no whole file" do
      assert raised(fn -> Options.new!([dir: 1], @needed) end) =~
               ~s|expected a string of UTF-8 without NUL, such as "lib", got: 1|

      assert byte_size(
               raised(fn ->
                 Options.new!([dir: String.duplicate("a", 100_000) <> "\0"], @needed)
               end)
             ) < 1000
    end
  end

  describe "the tables of the library" do
    for module <- @tables do
      test "#{inspect(module)}: defaults and examples are accepted" do
        for row <- unquote(module).__options__().rows, do: check_row(row)
      end

      test "#{inspect(module)}: each row is in the docs, with its default" do
        docs = moduledoc(unquote(module)) || Docs.table(unquote(module).__options__())

        for row <- unquote(module).__options__().rows, not row.internal do
          assert [line] =
                   for(
                     line <- String.split(docs, "\n"),
                     String.starts_with?(line, "| `:#{row.name}` |"),
                     do: line
                   )

          assert line =~ Row.default(row)
          assert line |> String.replace("\\|", "") |> String.split("|") |> length() == 6
        end
      end
    end
  end

  test "the options of a program are in the docs of run/3, those of a function in the docs of Wasmex.HTTP" do
    {:docs_v1, _, _, _, _, _, docs} = Code.fetch_docs(Wasmex.Program)
    {_, _, _, %{"en" => run}, _} = List.keyfind(docs, {:function, :run, 3}, 0)

    for {table, doc} <- [
          {Wasmex.Program.Options.__options__(), run},
          {Wasmex.HTTP.Function.__options__(), moduledoc(Wasmex.HTTP)}
        ],
        name <- table.names,
        do: assert(doc =~ "\n| `:#{name}` |", "#{name} is documented")
  end

  test "an option that is mistyped is named wherever it is, and so is the nearest one" do
    wat = ~s|(module (func (export "f") (result funcref) ref.func 0) (elem declare func 0))|
    {:ok, store} = Wasmex.Store.new()
    {:ok, module} = Wasmex.Module.compile(store, wat)
    {:ok, instance} = Wasmex.Instance.new(store, module, %{})
    {:ok, [func]} = Wasmex.Instance.call(instance, "f", [])
    {:ok, template} = Wasmex.Linker.instantiate_pre(Wasmex.Linker.new(), module)
    {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), "(component)")
    {:ok, components} = Wasmex.Components.Store.new()
    {:ok, made} = Wasmex.Components.Template.new(component, %{})
    {:ok, part} = Wasmex.Components.Template.instantiate(made, components)

    for {function, wrong, right} <- [
          {&Wasmex.run(wat, [], &1), :timout, :timeout},
          {&Wasmex.stream!(wat, [], &1), :max_outpt, :max_output},
          {&Wasmex.Program.start_link([program: wat] ++ &1), :activ, :active},
          {&Wasmex.start_link(&1), :store_limit, :store_limits},
          {&Wasmex.start_link(Map.new(&1)), :modul, :module},
          {&Wasmex.Components.start_link(&1), :on_tap, :on_trap},
          {&Wasmex.Instance.new(store, module, %{}, [], &1), :timout, :timeout},
          {&Wasmex.Instance.call(instance, "f", [], &1), :float, :floats},
          {&Wasmex.Instance.read_bytes(instance, {0, 0}, &1), :memry, :memory},
          {&Wasmex.Func.call(func, [], &1), :fule, :fuel},
          {&Wasmex.Linker.instantiate_pre(Wasmex.Linker.new(), module, &1), :stor, :store},
          {&Wasmex.Template.instantiate(template, store, &1), :timout, :timeout},
          {&Wasmex.Module.serialize(module, &1), :keys, :key},
          {&Wasmex.Module.deserialize("", nil, &1), :keys, :key},
          {&Wasmex.Pipe.new(&1), :capcity, :capacity},
          {&Wasmex.Telemetry.enable([], &1), :handlr, :handler},
          {&Wasmex.WIT.world({:text, ""}, &1), :wrld, :world},
          {&Wasmex.Components.Component.compile(components, "(component)", &1), :nams, :names},
          {&Wasmex.Components.Component.deserialize("", nil, &1), :nams, :names},
          {&Wasmex.Components.Template.new(component, %{}, &1), :byts, :bytes},
          {&Wasmex.Components.Template.instantiate(made, components, &1), :fule, :fuel},
          {&Wasmex.Components.Instance.instantiate(components, component, %{}, &1), :byts,
           :bytes},
          {&Wasmex.Components.Instance.call(part, "f", [], &1), :timout, :timeout},
          {&Wasmex.Components.KeyValue.ETS.new([], &1), :max_key_s, :max_keys},
          {&Wasmex.HTTP.load(wat, &1), :max_bdy, :max_body},
          {&Wasmex.HTTP.Server.start_link([dir: "."] ++ &1), :prt, :port},
          {&Wasmex.HTTP.Server.start_link(dir: ".", defaults: &1), :max_bdy, :max_body},
          {&Wasmex.HTTP.Server.start_link(dir: ".", functions: %{"f" => &1}), :max_bdy,
           :max_body},
          {&Wasmex.Plug.child_spec([name: :p, dir: "."] ++ &1), :concurency, :concurrency},
          {&Wasmex.Plug.init(&1), :nam, :name}
        ] do
      assert raised(fn -> function.([{wrong, 1}]) end) =~
               ~r/unknown option #{inspect(wrong)} in .*; did you mean #{inspect(right)}/
    end
  end

  defp check_row(row) do
    unless row.required, do: assert({:ok, _} = Type.cast(row.type, row.default))
    {example, _} = row |> Row.example() |> Code.eval_string()
    assert {:ok, cast} = Type.cast(row.type, example), "the example of #{row.name}"
    assert Type.cast(row.type, cast) == {:ok, cast}
    assert row.doc != ""
    Type.native(row.type, cast)
  end

  defp moduledoc(module) do
    with {:docs_v1, _, _, _, %{"en" => doc}, _, _} <- Code.fetch_docs(module),
         do: doc,
         else: (_ -> nil)
  end

  # Type, what is accepted (as it is), what is refused and what the error text says then.
  defp types do
    [
      {:any, [nil, 1, self()], []},
      {:boolean, [true, false], [{nil, "a boolean"}, {1, "a boolean"}]},
      {:string, ["", <<255>>], [{~c"a", "a string"}, {:a, "a string"}]},
      {:text, ["", "ü"],
       [{<<255>>, "UTF-8 without NUL"}, {"a\0", "UTF-8 without NUL"}, {1, "a string"}]},
      {:pid, [self()], [{:name, "a pid"}]},
      {:list, [[], [1]], [{%{}, "a list"}]},
      {:map, [%{}], [{[], "a map"}, {%Row{name: :a, type: :any, doc: ""}, "a map"}]},
      {:natural, [0, 0x7FFF_FFFF_FFFF_FFFF],
       [
         {-1, "a non-negative integer"},
         {1.0, "non-negative"},
         {0x8000_0000_0000_0000, "non-negative"}
       ]},
      {:bytes, [0, 10], [{-1, "a number of bytes"}, {"1MiB", "a number of bytes"}]},
      {:timeout, [0, :infinity], [{-1, "milliseconds or :infinity"}, {nil, "milliseconds"}]},
      {:atom, [:a], [{"a", "an atom"}]},
      {:name, ["a", ""], [{nil, "a string or an atom"}, {1, "a string"}]},
      {:keyword, [[], [a: 1], %{a: 1}], [{[1], "a keyword list or a map"}, {1, "a keyword"}]},
      {:secret, ["s"], [{"", "a non-empty binary"}, {:s, "got: :hidden"}]},
      {{:integer, 1..1000}, [1, 1000], [{0, "an integer from 1 to 1,000"}, {1001, "from 1"}]},
      {{:bytes, 0x4000..0x400_0000}, [16_384], [{0, "a number of bytes from 16 KiB to 64 MiB"}]},
      {{:milliseconds, 1..0x7FFF_FFFF_FFFF_FFFF}, [1], [{0, "milliseconds of 1 or more"}]},
      {{:one_of, [:a, :b, :c]}, [:a, :c], [{:d, ":a, :b or :c"}, {"a", ":a, :b or :c"}]},
      {{:or, [nil, :auto], :bytes}, [nil, :auto, 1], [{-1, "nil, :auto or a number of bytes"}]},
      {{:or, [nil], {:list, :text}}, [nil, ["a"]],
       [{1, "nil or a list"}, {["a", 1], ", item 2: expected a string of UTF-8"}]},
      {{:list, :natural}, [[], [1, 2]],
       [{[1 | 2], "a list, each item"}, {[1, -2], "item 2: expected"}]},
      {{:struct, MapSet}, [MapSet.new()], [{%{}, "a %MapSet{}"}]},
      {{:function, 1}, [&is_nil/1], [{&max/2, "a function of one argument"}, {:f, "a function"}]},
      {{:options, Wasmex.StoreLimits}, [%Wasmex.StoreLimits{tables: 1}],
       [
         {%{}, "a %Wasmex.StoreLimits{}"},
         {%Wasmex.StoreLimits{tables: -1}, "field :tables: expected nil or a non-neg"}
       ]},
      {Type.Env, [%{}, %{"A" => "=1"}],
       [
         {1, "a map of names"},
         {%{"A" => 1}, ~s|variable "A": expected a string|},
         {%{"A=" => ""}, "names without ="}
       ] ++
         [{[:a], "pairs"}, {%{"A" => "\0"}, "without NUL"}, {[{"a", "b"} | 1], "a map of names"}]},
      {Type.Clock, [:real, ~U[2000-01-01 00:00:00Z]],
       [{:fake, ":real or a"}, {~U[1900-01-01 00:00:00Z], "1970"}]},
      {Type.Stdio, [nil, :null, :inherit],
       [{:logger, "a %Wasmex.Pipe{}"}, {%{resource: nil}, "Pipe"}]},
      {Type.IP, [{127, 0, 0, 1}, {0, 0, 0, 0, 0, 0, 0, 1}],
       [{"127.0.0.1", "an IP address as a tuple"}, {{1, 2, 3, 256}, "an IP"}, {{1, 2}, "an IP"}]},
      {Type.Input, [nil, :inherit, "a", ["a", 1 | "b"], [1, 2], 1..2, %{}, self()],
       [{42, "iodata, an Enumerable"}, {{1, 2}, "iodata"}, {[:a | :b], "iodata"}]},
      {Type.Output, [nil, :capture, {:logger, :info}, &is_nil/1, [], self()],
       [{42, ":capture, :inherit"}, {{:logger, 1}, ":capture"}, {&max/2, ":capture"}]},
      {Type.Imports, [%{}, %{"a" => %{"b" => 1}}],
       [{[], "a map of namespaces"}, {%{1 => %{}}, "names that are strings or atoms"}]},
      {Type.Links, [%{"a" => %Wasmex.Module{}}],
       [{[], "a map of names"}, {%{"a" => 1}, "modules by name"}]},
      {Type.Strings, [%{}, %{"a" => "b"}],
       [
         {7, "a map of names and strings"},
         {%{"a" => 1}, ~s|, "a": expected a string|},
         {%{1 => "a"}, "strings or atoms as names"},
         {[:a], "a map of names"},
         {%{"a" => <<255>>}, "a string"}
       ]},
      {Type.HostFunctions, [%{}, Wasmex.Plugin.Log, {Wasmex.Plugin.Log, []}, [%{}, [%{}]]],
       [{7, "a map of namespaces"}, {nil, "a module"}, {[%{} | 1], "a list of them"}]},
      {Type.Invoke, [nil, {"f", []}], [{"f", "a function's name and its parameters"}]},
      {Type.Names, [%{"a-b" => :a_b}], [{%{a: :b}, "a map of strings to atoms"}, {[], "a map"}]},
      {Type.Pair, [{"a", ""}], [{{:a, ""}, "a name and a text"}]},
      {Type.Certificates, [], [{"", "certificates as PEM"}, {"none", "PEM"}, {1, "PEM"}]},
      {Type.Address,
       ["*", "1.2.3.4", "[::1]", "::1", "[::1]:80", "a.b:1", "*.a.b", "a-*.b", "10.0.0.0/8:1-2"] ++
         ["fd00::/8", "[fd00::/8]:443", "*:0-65535"],
       [
         {"a:99999", "a port up to 65535"},
         {"a b", "an address such as"},
         {1, "address"},
         {<<255>>, "address"}
       ] ++
         [{"*a.", "address"}, {"", "address"}, {"[a]", "address"}, {"300.1.1.1", "address"}] ++
         [{"10.0.0.0/33", "address"}, {"a:2-1", "lower one first"}, {"a:1-", "address"}]},
      {Type.Dirs, [],
       [{%{"/" => 1}, "a map of"}, {%{"/" => {"a", :rx}}, "a map of"}, {[:a], "a map of"}] ++
         [
           {%{"/" => "a\0"}, "field :path: expected a string of UTF-8"},
           {%{<<255>> => "a"}, "field :alias"}
         ]}
    ]
  end

  test "text is UTF-8, also where a long one is checked in pieces" do
    piece = 256 * 1024

    for before <- (piece - 4)..(piece + 1), char <- ["é", "€", "😀"] do
      text = String.duplicate("x", before) <> char <> String.duplicate("y", 2 * piece)
      assert Wasmex.Utils.utf8?(text)
      broken = binary_part(text, 0, before + byte_size(char) - 1)
      refute Wasmex.Utils.utf8?(broken <> "y" <> text)
      refute Wasmex.Utils.utf8?(broken)
      refute Wasmex.Utils.utf8?(text <> <<0xFF>>)
    end
  end
end
