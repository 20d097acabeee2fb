defmodule Wasmex.Components.InstanceTest do
  use ExUnit.Case, async: true

  import Wasmex.Guest, only: [kill: 1, wait_until: 1]

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{Component, Instance, Store, Template}
  alias Wasmex.{Error, StoreLimits, Trap}

  @calls "test:types/calls@1.2.0"

  defp types(calls \\ %{}, opts \\ []),
    do: Guests.instance("types", Guests.types_imports(calls), opts)

  test "functions are found by name, by path and by one text" do
    {instance, _} = types()
    assert Instance.call(instance, "greet", ["Ada"]) == {:ok, "Hello, Ada!"}
    assert Instance.call(instance, :add, [1, 2]) == {:ok, 3}
    assert Instance.call(instance, {@calls, "ask"}, ["?"]) == {:ok, 42}
    assert Instance.call(instance, [@calls, :ask], ["?"]) == {:ok, 42}
    assert Instance.call(instance, @calls <> ".ask", ["?"]) == {:ok, 42}
    assert Instance.call(instance, @calls <> "#ask", ["?"]) == {:ok, 42}
    assert Instance.call(instance, "nothing", []) == {:ok, nil}
    assert Instance.call!(instance, "greet", [""]) == "Hello, !"

    assert {:error, %Error{reason: :unknown_path, details: %{position: 0}} = error} =
             Instance.call(instance, "gret", [])

    assert Exception.message(error) =~ ~s|did you mean "greet"|

    assert {:error, %Error{reason: :unknown_path, details: %{position: 1}}} =
             Instance.call(instance, {@calls, "nope"}, [])

    assert {:error, %Error{}} = Instance.call(instance, [], [])
    assert_raise ArgumentError, fn -> Instance.call(instance, 7, []) end
    assert_raise ArgumentError, fn -> Instance.call(instance, "add", :no_list) end
  end

  test "imports run in the calling process, also those in an interface" do
    me = self()
    Process.put(:mark, 1)

    {instance, _} =
      types(%{
        "ask" => fn question ->
          assert self() == me and Process.get(:mark) == 1
          String.length(question)
        end,
        "log" => fn text -> send(me, {:log, text}) end
      })

    assert Instance.call(instance, {@calls, "ask-often"}, ["four", 1_000]) == {:ok, 4_000}
    assert Instance.call(instance, {@calls, "log"}, ["hi"]) == {:ok, nil}
    assert_received {:log, "hi"}

    for {function, args, result} <- [
          {"upcase", ["abc"], "ABC"},
          {"double-all", [[1, 2]], [2, 4]},
          {"reverse-bytes", [<<1, 2>>], <<2, 1>>},
          {"find", ["a"], {:some, "A"}},
          {"find", ["b"], :none},
          {"check", [-1], {:error, "negative"}},
          {"confirm", ["yes"], :ok},
          {"confirm", ["no"], :error}
        ] do
      assert Instance.call(instance, {@calls, function}, args) == {:ok, result}
    end
  end

  test "an import that raises, or returns the wrong thing, ends the call with the reason" do
    {instance, _} = types(%{"upcase" => fn _ -> raise "no letters" end})

    assert {:error, %Error{reason: :import_raised, details: %{exception: exception}} = error} =
             Instance.call(instance, {@calls, "upcase"}, ["x"])

    assert Exception.message(exception) == "no letters"
    assert Exception.message(error) =~ "no letters"

    for {wrong, text} <- [
          {7, "the result: expected string, got 7"},
          {<<255>>, "the result: a string must be valid UTF-8"}
        ] do
      {instance, _} = types(%{"upcase" => fn _ -> wrong end})

      assert {:error, %Error{reason: :bad_value} = error} =
               Instance.call(instance, {@calls, "upcase"}, ["x"])

      assert Exception.message(error) =~ text
    end
  end

  test "after a trap or a timeout the store says that it is spent" do
    {instance, store} = types()
    assert {:error, %Trap{code: :unreachable}} = Instance.call(instance, "panic", ["ouch"])
    assert Store.spent?(store)
    assert {:error, %Error{reason: :spent} = error} = Instance.call(instance, "add", [1, 2])
    assert Exception.message(error) =~ "create a new store"

    {instance, store} = types()
    assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "spin", [], timeout: 20)
    assert Store.spent?(store)
    assert {:error, %Error{reason: :spent}} = Instance.call(instance, "add", [1, 2])
  end

  test "a killed process leaves a store that says so" do
    {instance, store} = types()
    pid = spawn_link(fn -> Instance.call(instance, "spin", []) end)
    wait_until(fn -> Wasmex.Native.store_driver(store.resource) == pid end)
    kill(pid)
    wait_until(fn -> Wasmex.Native.store_driver(store.resource) == nil end)
    assert {:error, %Error{reason: :spent}} = Instance.call(instance, "add", [1, 2])
  end

  test "limits hold: memory, and what a guest may hand over" do
    {instance, _} = types(%{}, limits: %StoreLimits{memory_size: 32 * 1024 * 1024})
    assert {:error, %Trap{}} = Instance.call(instance, "eat", [100])

    {instance, _} = types(%{}, limits: %StoreLimits{memory_size: 32 * 1024 * 1024})
    assert {:error, _} = Instance.call(instance, "big-string", [2_147_483_647])

    {instance, _} = types()
    assert {:ok, text} = Instance.call(instance, "big-string", [10_000_000])
    assert byte_size(text) == 10_000_000
    # Beyond 128 MiB in one call wasmtime refuses to copy.
    assert {:error, %Error{} = error} = Instance.call(instance, "big-string", [200_000_000])
    assert Exception.message(error) =~ "too much data"
  end

  test "missing imports of a component are all listed, with their types" do
    {:ok, store} = Store.new()

    assert {:error, %Error{reason: :missing_imports, details: %{names: names}} = error} =
             Instance.instantiate(store, Guests.component("types"), %{})

    assert length(names) == 10
    message = Exception.message(error)
    assert message =~ "test:types/host@1.0.0 check: func(number: s32) -> result<u32, string>"
    assert message =~ "ask: func(question: string) -> u32"
  end

  test "versions that fit are taken for each other" do
    imports = Guests.types_imports()
    {host, imports} = Map.pop!(imports, "test:types/host@1.0.0")
    {:ok, store} = Store.new()
    imports = Map.put(imports, "test:types/host@1.0.7", host)
    assert {:ok, instance} = Instance.instantiate(store, Guests.component("types"), imports)
    assert Instance.call(instance, {@calls, "upcase"}, ["x"]) == {:ok, "X"}

    {:ok, store} = Store.new()

    wrong =
      imports |> Map.delete("test:types/host@1.0.7") |> Map.put("test:types/host@2.0.0", host)

    assert {:error, %Error{reason: :missing_imports}} =
             Instance.instantiate(store, Guests.component("types"), wrong)
  end

  test "a template makes instances that share nothing" do
    {:ok, template} = Template.new(Guests.component("types"), Guests.types_imports())

    for _ <- 1..3 do
      {:ok, store} = Store.new()
      {:ok, instance} = Template.instantiate(template, store)
      assert Instance.call(instance, "count", []) == {:ok, 1}
      assert Instance.call(instance, "count", []) == {:ok, 2}
    end

    {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{})
    {:ok, store} = Store.new(nil, engine)
    assert {:error, %Error{reason: :foreign_engine}} = Template.instantiate(template, store)
  end

  test "modules and malformed bytes are not components" do
    engine = Wasmex.Engine.default()
    assert {:error, %Error{reason: :module} = error} = Component.compile(engine, "(module)")
    assert Exception.message(error) =~ "expected a component"
    assert {:error, %Error{reason: :parse}} = Component.compile(engine, <<255>>)
    assert {:error, %Error{reason: :parse}} = Component.compile(engine, "(component (nope))")
    assert {:error, %Error{}} = Component.compile(engine, <<0, "asm", 13, 0, 1, 0, 99, 99>>)
    assert {:error, text} = Component.new(engine, "(module)")
    assert text =~ "core module"
    assert_raise ArgumentError, fn -> Component.compile(:nonsense, "(component)") end
  end

  test "artefacts are verified" do
    engine = Wasmex.Engine.default()
    {:ok, artefact} = Component.serialize(Guests.component("bench"))
    assert {:ok, component} = Component.deserialize(artefact)
    assert Map.has_key?(Component.exports(component), "add")

    assert {:error, %Error{reason: :artefact}} =
             Component.deserialize(binary_part(artefact, 0, 100))

    <<head::binary-200, byte, rest::binary>> = artefact
    altered = <<head::binary, Bitwise.bxor(byte, 1), rest::binary>>
    assert {:error, %Error{reason: :artefact}} = Component.deserialize(altered)
    {:ok, keyed} = Component.serialize(component, key: "k")
    assert {:error, %Error{reason: :artefact}} = Component.deserialize(keyed, engine)
    assert {:ok, _} = Component.deserialize(keyed, engine, key: "k")
    # That of a module is none of a component's.
    {:ok, module} = Wasmex.Module.compile(engine, "(module)")
    {:ok, other} = Wasmex.Module.serialize(module)
    assert {:error, %Error{reason: :artefact}} = Component.deserialize(other)
  end

  test "components in one store call each other through Elixir" do
    {:ok, store} = Store.new()
    {:ok, inner} = Instance.instantiate(store, Guests.component("bench"), Guests.bench_imports())

    imports =
      Guests.types_imports(%{
        "ask" => fn question ->
          {:ok, text} = Instance.call(inner, "greet", [question])
          String.length(text)
        end
      })

    {:ok, outer} = Instance.instantiate(store, Guests.component("types"), imports)
    assert Instance.call(outer, {@calls, "ask-often"}, ["x", 10]) == {:ok, 90}
  end

  test "a call from inside an import into the same instance" do
    me = self()

    imports =
      Guests.types_imports(%{
        "ask" => fn _ ->
          receive do
            {:instance, instance} ->
              send(me, {:instance, instance})
              {:ok, n} = Instance.call(instance, "add", [20, 22])
              n
          end
        end
      })

    {instance, _} = Guests.instance("types", imports)
    send(self(), {:instance, instance})
    assert Instance.call(instance, {@calls, "ask"}, ["x"]) == {:ok, 42}
  end

  test "fuel of a call" do
    {:ok, engine} = Wasmex.Engine.new(%Wasmex.EngineConfig{consume_fuel: true})
    {:ok, store} = Store.new(nil, engine)
    {:ok, component} = Component.compile(engine, File.read!(Guests.path("bench")))

    assert {:ok, instance} =
             Instance.instantiate(store, component, Guests.bench_imports(), fuel: 1_000_000)

    assert {:ok, 3} = Instance.call(instance, "add", [1, 2], fuel: 10_000)

    assert {:error, %Trap{code: :out_of_fuel}} =
             Instance.call(
               instance,
               {"test:bench/values@1.0.0", "sum-numbers"},
               [Enum.to_list(1..1000)],
               fuel: 100
             )
  end

  test "a trap in post-return" do
    wat = """
    (component
      (core module $m
        (memory (export "memory") 1)
        (func (export "f") (result i32) (i32.const 0))
        (func (export "after") (param i32) unreachable))
      (core instance $i (instantiate $m))
      (func (export "f") (result string)
        (canon lift (core func $i "f") (memory (core memory $i "memory")) (post-return (core func $i "after")))))
    """

    {:ok, component} = Component.compile(Wasmex.Engine.default(), wat)
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.instantiate(store, component, %{})
    assert {:error, %Trap{code: :unreachable}} = Instance.call(instance, "f", [])
    assert {:error, %Error{reason: :spent}} = Instance.call(instance, "f", [])
  end

  test "a result outlives the slices of a post-return" do
    wat = """
    (component
      (core module $m
        (memory (export "memory") 1)
        (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
        (data (i32.const 16) "hello")
        (func (export "f") (result i32) (i32.const 0))
        (func (export "after") (param i32)
          (local $n i32)
          (loop
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 50_000_000))))))
      (core instance $i (instantiate $m))
      (func (export "f") (result string)
        (canon lift (core func $i "f") (memory (core memory $i "memory")) (post-return (core func $i "after")))))
    """

    {:ok, component} = Component.compile(Wasmex.Engine.default(), wat)
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.instantiate(store, component, %{})

    for _ <- 1..3 do
      assert Instance.call(instance, "f", []) == {:ok, "hello"}
      :erlang.garbage_collect()
    end
  end

  test "results that break the canonical ABI are errors" do
    for {pointer, length} <- [{0xFFFF_FFF0, 100}, {0, 0xFFFF_FFFF}, {65_530, 10}] do
      wat = """
      (component
        (core module $m
          (memory (export "memory") 1)
          (func (export "f") (result i32)
            (i32.store (i32.const 8) (i32.const #{pointer}))
            (i32.store (i32.const 12) (i32.const #{length}))
            (i32.const 8)))
        (core instance $i (instantiate $m))
        (func (export "text") (result string) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
        (type $l (list u64))
        (func (export "list") (result $l) (canon lift (core func $i "f") (memory (core memory $i "memory")))))
      """

      {:ok, component} = Component.compile(Wasmex.Engine.default(), wat)

      for function <- ["text", "list"] do
        {:ok, store} = Store.new()
        {:ok, instance} = Instance.instantiate(store, component, %{})
        assert {:error, %{__exception__: true}} = Instance.call(instance, function, [])
      end
    end
  end
end
