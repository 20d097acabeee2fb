defmodule Wasmex.ComponentTest do
  use ExUnit.Case, async: true

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.Store

  # Scripts are compiled without.
  setup_all do
    before = Code.compiler_options()
    Code.put_compiler_option(:docs, true)
    Code.put_compiler_option(:debug_info, true)

    on_exit(fn ->
      for key <- [:docs, :debug_info], do: Code.put_compiler_option(key, before[key])
    end)
  end

  defmodule Types do
    use Wasmex.Component, path: "test/guests/component_types/component_types.wasm"
  end

  defmodule Structs do
    use Wasmex.Component, path: "test/guests/component_types/component_types.wasm", structs: true
  end

  defmodule Resources do
    use Wasmex.Component, path: "test/guests/component_resources/component_resources.wasm"
  end

  defmodule Host do
    @behaviour Types.Imports
    @behaviour Types.Imports.Host

    @impl Types.Imports
    def ask(question), do: String.length(question)

    @impl Types.Imports.Host
    def log(_text), do: nil
    @impl Types.Imports.Host
    def upcase(text), do: String.upcase(text)
    @impl Types.Imports.Host
    def double_all(numbers), do: Enum.map(numbers, &(&1 * 2))
    @impl Types.Imports.Host
    def reverse_bytes(bytes), do: bytes |> :binary.bin_to_list() |> Enum.reverse()
    @impl Types.Imports.Host
    def move_by(%{x: x, y: y}, by), do: %{x: x + by.x, y: y + by.y}
    @impl Types.Imports.Host
    def find(_key), do: :none
    @impl Types.Imports.Host
    def check(number), do: {:ok, abs(number)}
    @impl Types.Imports.Host
    def confirm(_text), do: :ok
    @impl Types.Imports.Host
    def price(order), do: {:ok, %{order | id: order.id + 1}}
  end

  defp start(module, opts \\ []) do
    start_supervised!({module, [host: Host] ++ opts}, id: make_ref())
  end

  test "a function for each export, of a process or an instance" do
    pid = start(Types)
    assert Types.add(pid, 1, 2) == {:ok, 3}
    assert Types.add!(pid, 1, 2) == 3
    assert Types.nothing(pid) == {:ok, nil}
    assert Types.greet(pid, "Ada", timeout: :infinity) == {:ok, "Hello, Ada!"}
    assert Types.Calls.ask(pid, "four") == {:ok, 4}

    {:ok, store} = Store.new()
    {:ok, instance} = Types.instantiate(store, host: [Host])
    assert Types.add(instance, 1, 2) == {:ok, 3}
    assert {:error, %Wasmex.Error{reason: :timeout}} = Types.spin(instance, timeout: 20)
  end

  test "names are atoms with underscores" do
    pid = start(Types)

    person = %{
      first_name: "Ada",
      age_in_years: 36,
      home_address: %{street_name: "s", house_number: 1, zip_code: :none},
      favourite_points: [%{x: 1, y: 2}]
    }

    assert Types.Echo.echo_person(pid, person) == {:ok, person}

    assert Types.Echo.echo_shape!(pid, {:poly_line, [%{x: 1, y: 2}]}) ==
             {:poly_line, [%{x: 1, y: 2}]}

    assert Types.Echo.echo_color!(pid, :deep_blue) == :deep_blue
    assert Types.Echo.echo_permissions!(pid, [:run_as_owner]) == %{run_as_owner: true}
    assert Types.Echo.echo_list_u8!(pid, <<1, 2>>) == <<1, 2>>
    assert Types.Calls.move_by!(pid, %{x: 1, y: 1}, %{x: 2, y: 3}) == %{x: 3, y: 4}
    assert {:ok, {:ok, %{id: 8}}} = Types.Calls.price(pid, %{id: 7, lines: [], note: :none})
  end

  test "errors are exceptions that say where" do
    pid = start(Types, on_trap: :renew)
    assert {:error, %Wasmex.Error{reason: :conversion}} = Types.add(pid, 1, "x")

    assert_raise Wasmex.Error, ~r/param 2 \("b"\): expected s32, got "x"/, fn ->
      Types.add!(pid, 1, "x")
    end

    assert {:error, %Wasmex.Trap{}} = Types.panic(pid, "ouch")
    assert {:error, %Wasmex.Error{reason: :timeout}} = Types.spin(pid, timeout: 30)
    assert Types.add(pid, 1, 2) == {:ok, 3}
  end

  test "records as structs" do
    pid = start(Structs)
    point = struct!(Structs.Echo.Point, x: 1, y: 2)
    assert Structs.Echo.echo_point(pid, point) == {:ok, point}
    assert Structs.Echo.echo_list_point!(pid, [point]) == [point]
    assert Structs.Echo.echo_option_point!(pid, {:some, point}) == {:some, point}
    assert Structs.Echo.echo_shape!(pid, {:poly_line, [point]}) == {:poly_line, [point]}

    assert {:ok, {:ok, {:some, ^point}}} =
             Structs.Echo.echo_result_nested(pid, {:ok, {:some, point}})
  end

  test "a module per resource" do
    {:ok, pid} = Resources.start_link(imports: Guests.resources_imports())
    alias Resources.Counters.Counter
    {:ok, counter} = Counter.new(pid, 40)
    assert Counter.add(counter, 2) == {:ok, 42}
    assert {:ok, {:ok, other}} = Counter.parse(pid, "1")
    assert Counter.is_greater(counter, other) == {:ok, true}
    assert Resources.Counters.compare(pid, counter, other) == {:ok, :greater}
    assert Counter.drop(other) == :ok
    assert {:error, _} = Counter.value(other)
    {:ok, fragile} = Resources.Counters.Fragile.new(pid, :quiet)
    assert {:error, %Wasmex.Error{} = error} = Counter.value(fragile)
    assert Exception.message(error) =~ "expected a handle of the resource counter"
  end

  test "docs come from the component, types and specs with them" do
    code = """
    defmodule Wasmex.ComponentTest.Documented do
      use Wasmex.Component, wit: "test/guests/component_types/wit"
    end
    """

    # Off in scripts, unless something was compiled before.
    modules = Code.compile_string(code)
    {module, beam} = List.keyfind(modules, Wasmex.ComponentTest.Documented, 0)
    assert {:docs_v1, _, _, _, %{"en" => "Every type of WIT, both ways."}, _, docs} = docs(beam)
    greet = Enum.find(docs, &match?({{:function, :greet, 3}, _, _, _, _}, &1))
    assert {_, _, _, %{"en" => "A greeting." <> _}, _} = greet

    {_, echo} = List.keyfind(modules, Wasmex.ComponentTest.Documented.Echo, 0)
    {:ok, types} = Code.Typespec.fetch_types(echo)
    assert Enum.any?(types, &match?({:type, {:postal_address, _, _}}, &1))
    {:ok, specs} = Code.Typespec.fetch_specs(beam)
    assert List.keymember?(specs, {:add, 4}, 0)
    assert List.keymember?(specs, {:add!, 4}, 0)

    # Of a world alone: the component comes when it is started.
    assert_raise ArgumentError, ~r/path: or bytes:/, fn -> module.start_link([]) end
    {:ok, pid} = module.start_link(path: Guests.path("types"), host: Host)
    assert module.add(pid, 1, 2) == {:ok, 3}
  end

  defp docs(beam) do
    {:ok, {_, [{~c"Docs", docs}]}} = :beam_lib.chunks(beam, [~c"Docs"])
    :erlang.binary_to_term(docs)
  end

  test "a host that lacks a function gives nothing" do
    Process.flag(:trap_exit, true)
    assert {:error, _} = Types.start_link(host: String)
    assert {:ok, _} = Types.start_link(host: String, imports: Guests.types_imports())
  end

  test "a component that is not there, or is none" do
    for {opts, pattern} <- [
          {~s|path: "nope.wasm"|, ~r/could not read nope.wasm/},
          {~s|path: "mix.exs"|, ~r/mix.exs: Error while parsing/},
          {~s|wit: "nope"|, ~r/Failed to parse WIT/}
        ] do
      code =
        "defmodule W#{System.unique_integer([:positive])} do\n use Wasmex.Component, #{opts}\nend"

      error = assert_raise CompileError, fn -> Code.eval_string(code) end
      assert Exception.message(error) =~ pattern
    end
  end

  # The modules of a world, and their functions.
  defp modules_of(dir, wit) do
    path = Path.join(dir, "world.wit")
    File.write!(path, wit)
    name = "Of#{System.unique_integer([:positive])}"

    for {module, beam} <-
          Code.compile_string(
            "defmodule #{name} do\nuse Wasmex.Component, wit: #{inspect(path)}\nend"
          ),
        into: %{} do
      {:ok, types} = Code.Typespec.fetch_types(beam)
      types = for {_kind, {type, _, _}} <- types, do: type
      functions = for {function, _arity} <- module.module_info(:exports), do: function
      {module |> inspect() |> String.replace_prefix(name, ""), Enum.uniq(functions ++ types)}
    end
  end

  @tag :tmp_dir
  test "names that Elixir has itself, or that are there twice", %{tmp_dir: dir} do
    types = ~w(node number map pid timeout atom any struct charlist keyword)

    enums = Enum.map_join(types, " ", &"enum %#{&1} { x, y }")
    world = "package a:b; interface i { #{enums} f: func() -> %node; } world w { export i; }"
    assert %{".I" => names} = modules_of(dir, world)
    for type <- types, do: assert(:"#{type}_t" in names)

    resource =
      "package a:b; interface i { resource r { constructor(a: u8); drop: func(); new: func(); } } world w { export i; export %when: func(); }"

    assert %{".I.R" => names, "" => root} = modules_of(dir, resource)
    for name <- [:drop, :drop_, :new, :new_], do: assert(name in names)
    assert :when_ in root

    versions = """
    package x:y;
    world w { export a:b/i@1.0.0; export a:b/i@2.0.0; export c:d/i; export a:b/imports@1.0.0; import a:b/log@1.0.0; import h: func(); }
    package a:b@1.0.0 { interface i { f: func(); } interface imports { k: func(); } interface log { l: func(); } }
    package a:b@2.0.0 { interface i { g: func(); } }
    package c:d { interface i { h: func(); } }
    """

    modules = modules_of(dir, versions)

    for {module, name} <- [{".ABI100", :f}, {".ABI200", :g}, {".CDI", :h}, {".ABImports", :k}],
        do: assert(name in modules[module])

    assert is_map_key(modules, ".Imports") and is_map_key(modules, ".Imports.Log")
  end

  @tag :tmp_dir
  test "an interface whose module name is used already", %{tmp_dir: dir} do
    wit = "package a:b; world w { export imports: interface { f: func(); } import g: func(); }"
    modules = modules_of(dir, wit)
    assert :f in modules[".ImportsInterface"]
    assert is_map_key(modules, ".Imports")
  end

  test "records in lists of a length and in maps are structs too" do
    record = {:record, [{:x, :s32, nil}, {:y, :s32, nil}]}
    types = %{{"i", "point"} => {Structs.Echo.Point, record}}
    named = {:named, "i", "point"}
    point = struct!(Structs.Echo.Point, x: 1, y: 2)
    to = &Wasmex.Components.Bindgen.Structs.to(&1, {&2, types})
    assert to.([%{x: 1, y: 2}], {:list, named, 1}) == [point]
    assert to.(%{"a" => %{x: 1, y: 2}}, {:map, :string, named}) == %{"a" => point}
  end

  @tag :tmp_dir
  test "a folder of WIT is looked at again when one of its files changes", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "w.wit"), "package a:b; world w { export f: func(); }")

    code = """
    defmodule OfAFolder do
      use Wasmex.Component, wit: #{inspect(dir)}
      def files, do: unquote(Module.get_attribute(__MODULE__, :external_resource))
    end
    """

    Code.compile_string(code)
    assert Path.join(dir, "w.wit") in apply(OfAFolder, :files, [])
  end

  @tag :tmp_dir
  test "a name that no atom can hold", %{tmp_dir: dir} do
    name = String.duplicate("a", 256)
    path = Path.join(dir, "long.wit")

    for item <- ["export #{name}: func();", "export f: func(p: record-#{name});"] do
      File.write!(path, "package a:b; world w { record record-#{name} { f: u8 } #{item} }")
      code = "defmodule LongName do\n use Wasmex.Component, wit: #{inspect(path)}\nend"
      error = assert_raise CompileError, fn -> Code.eval_string(code) end

      assert Exception.message(error) =~
               ~r/aaaa… of the WIT is too long: .* the VM's limit is 255/
    end
  end
end
