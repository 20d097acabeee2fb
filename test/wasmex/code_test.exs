defmodule Wasmex.CodeTest do
  use ExUnit.Case, async: false

  alias Wasmex.{Code, Components, Error, Peers, Pool}
  alias Wasmex.Code.Store

  @wat ~s|(module (func (export "one") (result i32) i32.const 1))|

  # What no other test has: each is another code.
  defp wat(n), do: ~s|(module (func (export "n") (result i32) i32.const #{n}))|
  defp unique, do: System.unique_integer([:positive])

  test "code is its content: name, version and settings are what is said of it" do
    {:ok, code} =
      Code.new({:bytes, @wat}, name: "one", version: "1.0", engine: [consume_fuel: true])

    {:ok, wasm} = Wasmex.Wat.to_wasm(@wat)
    assert code.hash == :crypto.hash(:sha256, wasm)
    assert {code.kind, code.size, code.origin} == {:module, byte_size(wasm), node()}
    assert Code.bytes(code) == {:ok, wasm}
    assert inspect(code) =~ ~r/#Wasmex.Code<one@1.0 module [0-9a-f]{12} \d+ bytes>/
    assert :erlang.external_size(code) < 500

    {:ok, component} = Code.new({:bytes, "(component)"})
    assert component.kind == :component
    assert {:ok, %Components.Component{}} = Code.compiled(component)
    assert component.version == Code.short(component)
  end

  test "is compiled once, and runs wherever code runs" do
    {:ok, code} = Code.new({:bytes, @wat})
    assert {:ok, %Wasmex.Module{resource: resource}} = Code.compiled(code)
    assert {:ok, %Wasmex.Module{resource: ^resource}} = Code.compiled(code)
    {:ok, pool} = Pool.start_link(source: code, per_key: [fuel: 1_000_000])
    assert Pool.call(pool, "one", [], key: 1) == {:ok, [1]}

    {:ok, program} = Code.new("test/guests/programs/go/program.wasm")
    assert program.name == "program"
    assert {:ok, %{status: 0}} = Wasmex.run(program, ["hello"])

    {:ok, plugin} = Code.new("test/guests/plugins/echo.wasm")
    {:ok, pool} = Pool.start_link(source: plugin, as: :plugin)
    assert Pool.call(pool, "echo", "x") == {:ok, "x"}
  end

  test "bytes that nobody has, or that are others, are errors" do
    {:ok, code} = Code.new({:bytes, @wat})
    lost = %{code | hash: :crypto.strong_rand_bytes(32)}
    assert {:error, %Error{reason: :code_unavailable} = error} = Code.compiled(lost)
    assert Exception.message(error) =~ "no node has the code"
    assert {:error, %Error{reason: :code_damaged}} = Code.bytes(%{lost | bytes: "other"})
    {:ok, packed} = Code.pack(code)
    assert {:ok, _} = Code.bytes(packed)
  end

  test "what makes no sense" do
    assert {:error, %Error{reason: :file}} = Code.new("none.wasm")
    assert {:error, %Error{reason: :parse}} = Code.new({:bytes, "(module"})

    assert_raise ArgumentError, ~r/no setting :fuel/, fn ->
      Code.new({:bytes, @wat}, engine: [fuel: 1])
    end

    assert_raise ArgumentError, ~r/as code/, fn -> Code.new(:what) end
    {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), @wat)
    {:ok, artefact} = Wasmex.Module.serialize(module)
    assert {:error, %Error{reason: :artefact}} = Code.new({:bytes, artefact})
    assert_raise Error, fn -> Code.new!("none.wasm") end
  end

  test "the store lets go of what was not used for longest, not of what is held" do
    most = Application.get_env(:wasmex, :code_bytes)

    on_exit(fn ->
      if most,
        do: Application.put_env(:wasmex, :code_bytes, most),
        else: Application.delete_env(:wasmex, :code_bytes)
    end)

    [held, old, used] = for n <- 1..3, do: Store.put("bytes #{n} #{unique()}")
    :ok = Store.hold(held)
    {:ok, _} = Store.get(used)
    # Less than there is: the next one makes it tidy up.
    Application.put_env(:wasmex, :code_bytes, 0)
    new = Store.put("new #{unique()}")
    assert {:ok, _} = Store.get(held)
    assert {:ok, _} = Store.get(new)
    assert Store.get(old) == :error
    assert Store.get(used) == :error
  end

  # Two for all of them.
  setup_all do
    case Peers.distributed() do
      :ok -> %{peers: Peers.start(2)}
      {:error, reason} -> flunk(reason)
    end
  end

  describe "between nodes" do
    test "code is fetched once from a node that has it, and what is compiled comes along",
         %{peers: [{_, a}, {_, b}]} do
      {:ok, code} = Code.new({:bytes, wat(unique())}, name: "n")
      {:ok, _} = Code.compiled(code)

      assert {:ok, [n]} = on(a, code)
      assert on(b, code) == {:ok, [n]}
      # The artefact was enough: nobody had to have the bytes.
      assert :erpc.call(a, Store, :size, [code.hash]) == :error

      # From a third one, as the first is not asked.
      other = Code.new!({:bytes, wat(unique())})
      {:ok, _} = :erpc.call(a, Code, :bytes, [other])
      assert {:ok, _} = :erpc.call(b, Code, :bytes, [%{other | origin: a}])
      assert :erpc.call(b, Store, :size, [other.hash]) == {:ok, other.size}
    end

    test "a large one comes in parts; closures and messages carry it", %{peers: [{_, a} | _]} do
      filler = :binary.copy("x", 5_000_000)

      wat =
        ~s|(module (memory 100) (data (i32.const 0) "#{filler}") (func (export "n") (result i32) i32.const 5))|

      code = Code.new!({:bytes, wat})
      assert code.size > 5_000_000
      Application.put_env(:wasmex, :code_artefacts, false)
      :erpc.call(a, Application, :put_env, [:wasmex, :code_artefacts, false])

      on_exit(fn ->
        Application.delete_env(:wasmex, :code_artefacts)
        :erpc.call(a, Application, :delete_env, [:wasmex, :code_artefacts])
      end)

      assert on(a, code) == {:ok, [5]}
      assert :erpc.call(a, Store, :size, [code.hash]) == {:ok, code.size}
    end

    test "a packed one needs no other node", %{peers: [{_, a} | _]} do
      {:ok, packed} = Code.pack(Code.new!({:bytes, wat(unique())}))
      assert {:ok, _} = on(a, %{packed | origin: :"nobody@127.0.0.1"})
    end

    test "a node that is gone is an error" do
      [peer] = Peers.start(1)
      code = :erpc.call(elem(peer, 1), Code, :new!, [{:bytes, wat(unique())}])
      Peers.kill(peer)
      assert {:error, %Error{reason: :code_unavailable}} = Code.compiled(code)
    end
  end

  defp on(node, code), do: Peers.use_code(node, code, "n")
end
