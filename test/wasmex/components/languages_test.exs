defmodule Wasmex.Components.LanguagesTest do
  # Components with a whole language inside. QuickJS is small enough to be here; the others are built by
  # `script/components`, and are skipped where they were not.
  use ExUnit.Case, async: true

  alias Wasmex.Components.{Component, Instance, Store}

  @cache System.get_env("XDG_CACHE_HOME") || Path.expand("~/.cache")

  defp instance(path) do
    {:ok, component} = Component.compile(Wasmex.Engine.default(), File.read!(path))
    {:ok, store} = Store.new()
    {:ok, instance} = Instance.instantiate(store, component, %{})
    instance
  end

  test "JavaScript in QuickJS" do
    instance = instance("test/guests/component_js/component_js.wasm")
    call = fn name, arg -> Instance.call(instance, {"test:js/texts@1.0.0", name}, [arg]) end
    assert call.("greet", %{first_name: "Ada", age: 36}) == {:ok, "Hello, Ada (36)!"}
    assert call.("words", "b a  b") == {:ok, ["a", "b"]}
    assert call.("keys", ~s|{"x": 1, "y": 2}|) == {:ok, {:ok, ["x", "y"]}}
    assert {:ok, {:error, text}} = call.("keys", "{")
    assert text =~ "JSON"
  end

  for language <- ["python", "javascript"] do
    path = Path.join([@cache, "wasmex/components", language <> ".wasm"])
    unless File.exists?(path), do: @tag(skip: "#{path} is not there: script/components builds it")
    @tag timeout: :infinity
    test "#{language}, built by script/components" do
      instance = instance(unquote(path))

      call = fn name, arg ->
        Instance.call(instance, {"example:texts/texts@1.0.0", name}, [arg])
      end

      assert call.("words", "b a b") == {:ok, ["a", "b"]}

      assert call.("summarize", "ab abc a") ==
               {:ok, {:some, %{"word-count" => 3, "longest-word" => "abc"}}}

      assert call.("summarize", "") == {:ok, :none}
      assert call.("json-keys", ~s|{"a": 1}|) == {:ok, {:ok, ["a"]}}
      assert {:ok, {:error, _text}} = call.("json-keys", "{")
    end
  end
end
