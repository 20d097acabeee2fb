defmodule Wasmex.Components.RoundTripTest do
  use ExUnit.Case, async: true

  alias Wasmex.Components.{Component, Instance, Store}
  alias Wasmex.EchoComponent

  @types 60

  test "any value of any type comes back through a component" do
    seed = ExUnit.configuration()[:seed]
    :rand.seed(:exsss, seed)
    engine = Wasmex.Engine.default()

    for _ <- 1..@types do
      type = EchoComponent.type(Enum.random(1..4))
      assert {:ok, component} = Component.compile(engine, EchoComponent.wat(type))

      for _ <- 1..4 do
        value = {EchoComponent.value(type), 1, 2}
        {:ok, store} = Store.new()
        {:ok, instance} = Instance.instantiate(store, component, %{})
        result = Instance.call(instance, "echo", [value | List.duplicate(7, 17)])

        assert result == {:ok, value},
               "seed #{seed}: #{inspect({type, value, result}, limit: 50)}"

        Store.close(store)
      end
    end
  end
end
