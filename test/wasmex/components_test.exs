defmodule Wasmex.ComponentsTest do
  use ExUnit.Case, async: true

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components
  alias Wasmex.Components.{ComponentServer, Instance, Store}
  alias Wasmex.Wasi.WasiP2Options

  @echo "test:types/echo@1.2.0"

  defp start(opts \\ []) do
    defaults = [bytes: File.read!(Guests.path("types")), imports: Guests.types_imports()]

    start_supervised!({Components, Keyword.merge(defaults, opts)},
      restart: :temporary,
      id: make_ref()
    )
  end

  describe "a process" do
    test "calls functions by name and path" do
      pid = start()
      assert Components.call_function(pid, "greet", ["Ada"]) == {:ok, "Hello, Ada!"}
      assert Components.call_function(pid, :add, [1, 2]) == {:ok, 3}
      assert Components.call_function(pid, "nothing", []) == {:ok, []}
      assert Components.call_function(pid, {@echo, "echo-bool"}, [true]) == {:ok, true}
      assert Components.call_function(pid, [@echo, :"echo-bool"], [false]) == {:ok, false}
      assert %Instance{} = Components.instance(pid)
    end

    test "is started with a file, a component, a store, a name" do
      pid = start(path: Guests.path("types"), bytes: nil, name: __MODULE__.Named)
      assert Components.call_function(__MODULE__.Named, "add", [1, 2]) == {:ok, 3}
      GenServer.stop(pid)
      {:ok, store} = Store.new_wasi(WasiP2Options.nothing())
      pid = start(component: Guests.component("types"), store: store)
      assert Components.call_function(pid, "add", [1, 2]) == {:ok, 3}
      GenServer.stop(pid)
      # A store of the user's own is left open.
      assert {:ok, _} =
               Instance.instantiate(store, Guests.component("types"), Guests.types_imports())
    end

    test "says what is wrong with its options" do
      assert_raise ArgumentError, ~r/unknown option :byte.*:?bytes/, fn ->
        Components.start_link(byte: "")
      end

      assert_raise ArgumentError, ~r/start_link with :bytes, :path or :component/, fn ->
        Components.start_link([])
      end

      assert_raise ArgumentError, ~r/:wasi in Wasmex.Components.start_link/, fn ->
        Components.start_link(bytes: "", wasi: %{})
      end

      for opts <- [
            [imports: nil],
            [imports: %{<<255>> => {:fn, & &1}}],
            [imports: %{"f" => 1}],
            [start_timeout: -1]
          ] do
        assert_raise ArgumentError, fn ->
          Components.start_link([bytes: "(component)"] ++ opts)
        end
      end

      assert {:error, text} = Components.start_link(bytes: "(module)")
      assert text =~ "core module"
      assert {:error, text} = Components.start_link(path: "/no/such/file")
      assert text =~ "no such file"
      Process.flag(:trap_exit, true)

      # Before OTP 26 a server that refuses to start answers the first of these.
      text =
        case Components.start_link(bytes: File.read!(Guests.path("types"))) do
          {:error, {:bad_return_value, {:error, text}}} -> text
          {:error, text} -> text
        end

      assert text =~ ~r/\Acomponent imports (function|instance) /
    end

    test "keeps the error texts of Wasmex 0.15" do
      pid = start()
      call = fn function, args -> Components.call_function(pid, function, args) end
      echo = fn function, value -> call.({@echo, "echo-" <> function}, [value]) end

      assert call.("nope", []) == {:error, "exported function `nope` not found."}
      assert call.([], []) == {:error, "exported function `` not found."}

      assert call.({@echo, "nope"}, []) ==
               {:error,
                "exported function `[#{@echo}, nope]` not found. Could not find `nope` at position 1"}

      assert {:error, text} = call.("add", [1])
      assert text =~ "expected 2 argument(s), got 1"
      # Extra arguments are ignored.
      assert call.("add", [1, 2, 3]) == {:ok, 3}

      for {function, value, text} <- [
            {"f32", 1, "Could not convert Integer to Float32"},
            {"f64", 1, "Could not convert Integer to Float64"},
            {"string", 1, "Could not convert Integer to String"},
            {"list-u8", [1, :a], ~s|Could not convert Atom to U8 at "list[1]"|},
            {"tuple", {1, 2, 3.0}, ~s|Could not convert Integer to String at "tuple[1]"|},
            {"char", "", "Empty string, expected a character"},
            {"char", "ab", "Expected a single character, got multiple characters"},
            {"char", 55_296, "Invalid character code point: 55296"},
            {"char", :a, "Could not convert Atom to Char"},
            {"point", %{}, "Expected 2 fields, got 0 - missing fields: x, y"},
            {"list-point", [%{x: 1, y: 1}, %{x: 1}],
             ~s|Expected 2 fields, got 1 - missing fields: y at "list[1]"|},
            {"option", :random_atom,
             "Invalid atom: random_atom, expected ':none' or '{:some, term}' tuple"},
            {"option", nil, "Invalid atom: nil, expected ':none' or '{:some, term}' tuple"},
            {"result", nil, "Invalid atom: nil, expected ':ok' or ':error' as result"},
            {"option", {:other, 1}, "Invalid atom: other, expected ':some'"},
            {"result", {:broken, 1},
             "Invalid atom: broken, expected ':ok' or ':error' as first element in result-tuple"},
            {"result", :bad_atom, "Invalid atom: bad_atom, expected ':ok' or ':error' as result"},
            {"result-bare", {:ok, 1},
             "Result-type expected to have an :ok atom, but got 'ok' tuple"},
            {"color", :not_existing, "Enum value not found: not_existing"},
            {"shape", :nope, "Variant case not found: nope"},
            {"permissions", %{nope: true}, "Flag not found: nope"}
          ] do
        assert {function, echo.(function, value)} == {function, {:error, text}}
      end

      assert {:error, text} = call.("panic", ["ouch"])
      assert text =~ "Error during function excecution (wasm trap"
    end

    test "returns names as atoms where they exist, bytes as lists, and takes what is nearly right" do
      pid = start()

      echo = fn function, value ->
        Components.call_function(pid, {@echo, "echo-" <> function}, [value])
      end

      _ = [:x, :y, :red, :read, :circle]
      assert echo.("point", %{"x" => 1, "y" => 2, "z" => 3}) == {:ok, %{x: 1, y: 2}}
      assert echo.("color", "red") == {:ok, :red}
      assert echo.("permissions", %{read: true}) == {:ok, %{read: true}}
      assert echo.("shape", {:circle, 1.0}) == {:ok, {:circle, 1.0}}
      assert echo.("list-u8", [1, 2]) == {:ok, [1, 2]}
      assert echo.("bool", 0) == {:ok, true}
      assert echo.("bool", nil) == {:ok, false}
      assert echo.("string", :text) == {:ok, "text"}
      assert echo.("char", ~c"a") == {:ok, "a"}
      assert echo.("result", {:error, "e"}) == {:ok, {:error, "e"}}
    end

    test "stops a guest whose time is up, and stays" do
      pid = start()
      assert {:timeout, _} = catch_exit(Components.call_function(pid, "spin", [], 30))
      assert Process.alive?(pid)
      assert {:error, text} = Components.call_function(pid, "add", [1, 2])
      assert text =~ "cannot enter component instance"
    end

    test "is renewed or stopped after a trap, if asked to" do
      pid = start(on_trap: :renew)
      assert {:error, _} = Components.call_function(pid, "panic", ["x"])
      assert Components.call_function(pid, "count", []) == {:ok, 1}
      assert {:timeout, _} = catch_exit(Components.call_function(pid, "spin", [], 30))
      assert Components.call_function(pid, "count", []) == {:ok, 1}

      pid = start(on_trap: :stop)
      ref = Process.monitor(pid)
      assert {:error, _} = Components.call_function(pid, "panic", ["x"])
      assert_receive {:DOWN, ^ref, _, _, {:shutdown, :spent}}
    end

    test "an import calls back into its own process" do
      me = self()

      imports =
        Guests.types_imports(%{
          "ask" => fn _ ->
            send(me, {:in, self()})
            elem(Components.call_function(self(), "add", [1, 2]), 1)
          end
        })

      pid = start(imports: imports)
      assert Components.call_function(pid, {"test:types/calls@1.2.0", "ask"}, ["x"]) == {:ok, 3}
      assert_received {:in, ^pid}
    end

    test "the asynchronous form answers by message" do
      pid = start()
      instance = Components.instance(pid)
      assert Instance.call_function(instance, "add", [1, 2], {self(), :tag}) == :ok
      assert_receive {:tag, {:ok, 3}}
      assert Instance.call_function(instance, "nope", [], {self(), :tag}, 1_000) == :ok
      assert_receive {:tag, {:error, _}}
    end
  end

  describe "ComponentServer" do
    defmodule Server do
      use ComponentServer,
        wit: "test/guests/component_bench/wit/world.wit",
        imports: %{"tick" => {:fn, fn n -> n end}, "shout" => {:fn, &String.upcase/1}}
    end

    test "has a function for each of the world's" do
      {:ok, pid} = Server.start_link(path: Guests.path("bench"))
      assert Server.add(pid, 1, 2) == {:ok, 3}
      assert Server.greet(pid, "Ada") == {:ok, "Hello, Ada!"}
      assert Server.import_loop(pid, 10) == {:ok, 45}
      assert %{id: Server, start: {Server, :start_link, [[]]}} = Server.child_spec([])
    end
  end
end
