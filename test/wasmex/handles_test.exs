defmodule Wasmex.HandlesTest do
  # A node of its own is made.
  use ExUnit.Case, async: false

  alias Wasmex.{Components, Error, Handles, Instance, Peers, Store, StoreOrCaller}

  # Adds tags to the struct, in Elixir alone.
  @elixir_only [{Store, :tag}, {Components.Store, :tag}]

  setup_all do
    case Peers.distributed() do
      :ok -> :ok
      {:error, reason} -> flunk(reason)
    end

    # A node, and handles of it.
    [{_peer, node}] = Peers.start(1)
    %{good: Handles.make(), node: node, foreign: :erpc.call(node, Handles, :keep, [])}
  end

  defp outcome(fun) do
    fun.()
  rescue
    error -> {:raised, error}
  end

  describe "a handle of another node" do
    test "says so in every public function that takes one", %{
      good: good,
      node: node,
      foreign: foreign
    } do
      uses = Handles.uses()
      assert length(uses) > 130

      wrong =
        for {module, name, _, _, kind} = use <- uses,
            {module, name} not in @elixir_only,
            outcome = outcome(fn -> Handles.call(use, Map.fetch!(foreign, kind), good) end),
            not told?(outcome, node),
            do: {use, outcome}

      assert wrong == []
    end

    defp told?({:raised, %ArgumentError{message: message}}, node),
      do: message =~ "belongs to the node #{node}" and message =~ "Wasmex.Code"

    # It is lazy.
    defp told?(stream, node) when is_function(stream, 2),
      do: told?(outcome(fn -> Enum.take(stream, 1) end), node)

    defp told?(_outcome, _node), do: false

    test "says so as an import, an argument, a pipe and a listener", context do
      %{good: good, node: node, foreign: foreign} = context
      store = good[StoreOrCaller]
      instance = good[Instance]

      for kind <- [Wasmex.Memory, Wasmex.Table, Wasmex.Global, Wasmex.Func, Wasmex.Tag] do
        error =
          assert_raise ArgumentError, fn ->
            {:ok, module} =
              Wasmex.Module.compile(store, ~s|(module (import "env" "x" (memory 1)))|)

            Instance.new(store, module, %{env: %{x: foreign[kind]}})
          end

        assert error.message =~ "belongs to the node #{node}"
      end

      assert {:error, %Error{reason: :foreign_node}} =
               Instance.call(instance, "callback", [foreign[Wasmex.Func]])

      assert {:error, %Error{reason: :foreign_node}} =
               Instance.call(instance, "take", [foreign[Wasmex.Reference]])

      counters = good[Components.Instance]

      assert {:error, error} =
               Components.Instance.call(counters, {"test:resources/counters@1.0.0", "consume"}, [
                 foreign[Components.GuestResource]
               ])

      assert Exception.message(error) =~ "another node"

      for options <-
            [[stdin: foreign[Wasmex.Pipe]], [stdout: foreign[Wasmex.Pipe]]] ++
              [[listen: [foreign[Wasmex.Socket.Listener]]]] do
        error =
          assert_raise ArgumentError, fn ->
            Wasmex.run(~s|(module (func (export "_start")))|, [], options)
          end

        assert error.message =~ "belongs to the node #{node}"
      end
    end

    test "is inspected without the native side, and works when it comes home", context do
      %{good: good, node: node, foreign: foreign} = context
      for {_kind, handle} <- foreign, do: assert(inspect(handle) =~ "#Wasmex." or is_map(handle))
      instance = Map.fetch!(foreign, Instance)
      assert :erpc.call(node, Instance, :call, [instance, "f", [7]]) == {:ok, [7]}
      assert {:ok, [7]} = Instance.call(good[Instance], "f", [7])
    end
  end

  @of_a_store [StoreOrCaller, Instance, Wasmex.Memory, Wasmex.Table, Wasmex.Global] ++
                [Wasmex.Func, Wasmex.Plugin, Components.Store, Components.Instance] ++
                [Components.GuestResource]
  # What is known without the store: its engine, its tags, the types of its modules; and those that answer by message.
  @needs_no_store [{Wasmex.Module, :compile}, {Components.Component, :compile}] ++
                    [{Components.Component, :new}, {Instance, :function_export_exists}] ++
                    [{Wasmex.Plugin, :functions}, {Wasmex.Plugin, :function_exists?}] ++
                    [{Store, :close}, {Components.Store, :close}, {Wasmex.Plugin, :close}] ++
                    [{Instance, :call_exported_function}, {Components.Instance, :call_function}] ++
                    [{Components.GuestResource, :alive?}, {Wasmex.Func, :type}] ++ @elixir_only

  test "a handle of a closed store says so in every public function that takes one" do
    handles = Handles.make()
    :ok = Store.close(handles[StoreOrCaller])
    :ok = Components.Store.close(handles[Components.Store])
    :ok = Wasmex.Plugin.close(handles[Wasmex.Plugin])

    wrong =
      for {module, name, _, _, kind} = use <- Handles.uses(),
          kind in @of_a_store,
          {module, name} not in @needs_no_store,
          outcome = outcome(fn -> Handles.call(use, handles[kind], handles) end),
          not closed?(outcome),
          do: {use, outcome}

    assert wrong == []

    refute Components.GuestResource.alive?(handles[Components.GuestResource])

    %{StoreOrCaller => store, Instance => instance} = handles
    :ok = Instance.call_exported_function(store, instance, "f", [1], {self(), :core})
    assert_receive {:core, {:error, text}}
    assert text =~ "closed"

    :ok = Components.Instance.call_function(handles[Components.Instance], "f", [], {self(), :c})
    assert_receive {:c, {:error, text}}
    assert text =~ "closed"
  end

  defp closed?(%Wasmex.HTTP.Response{error: error}), do: closed?({:error, error})

  defp closed?({:error, %Error{reason: :closed}}), do: true
  defp closed?({:raised, %Error{reason: :closed}}), do: true
  defp closed?({:error, text}) when is_binary(text), do: text =~ "closed"
  defp closed?(_outcome), do: false

  test "a handle of another kind, and an empty one, say so", %{good: good} do
    wrong = %Wasmex.Memory{resource: good[Wasmex.Engine].resource}
    error = assert_raise ArgumentError, fn -> Wasmex.Memory.read(wrong, 0, 1) end
    assert error.message =~ "expected the handle of: memory"

    error = assert_raise ArgumentError, fn -> Wasmex.Global.get(%Wasmex.Global{}) end
    assert error.message =~ "empty handle"
  end
end
