defmodule Wasmex.Build.FeaturesTest do
  use ExUnit.Case, async: true

  alias Wasmex.Build.Features
  alias Wasmex.{Error, Native}
  alias Wasmex.Native.Features, as: Loaded

  test "all are built, unless some are selected" do
    all = Features.all()
    assert Features.selected(nil, nil) == {:ok, all}
    assert Features.selected("", nil) == {:ok, []}
    assert Features.selected("wat, compiler", [:plugins]) == {:ok, [:compiler, :wat]}
    assert Features.selected(nil, [:components]) == {:ok, [:components]}
    assert Features.cargo(all) == []
    assert Features.suffix(all) == ""
    assert Features.cargo([]) == ["--no-default-features"]
    assert Features.suffix([]) == "-core"
    assert Features.suffix([:compiler, :wat]) == "-compiler-wat"
  end

  test "a feature brings those that it requires" do
    assert Features.selected("plugins", nil) == {:ok, [:compiler, :plugins, :wat]}
  end

  test "unknown features and other values say what there is" do
    assert {:error, "unknown features: jit; there are compiler, " <> _} =
             Features.selected("jit", nil)

    assert {:error, "unknown features: \"wat\"" <> _} = Features.selected(nil, ["wat"])
    assert {:error, "features: must be a list" <> _} = Features.selected(nil, :all)
  end

  test "cargo knows the same features" do
    toml = File.read!("native/wasmex/Cargo.toml")
    [_, default] = Regex.run(~r/^default = \[(.*)\]$/m, toml)

    assert default |> String.replace(~s|"|, "") |> String.split(", ") ==
             Enum.map(Features.all(), &Atom.to_string/1)

    [_, plugins] = Regex.run(~r/^plugins = (.*)$/m, toml)
    assert plugins == ~s|["compiler", "wat"]|
  end

  test "this library has all of them" do
    assert Enum.all?(Features.all(), &Loaded.has?(Native.features(), &1))
  end

  test "a function that is left out says what is missing" do
    for {function, feature} <- [
          component_call: :components,
          component_serialize: :compiler,
          engine_precompile: :compiler,
          module_compile: :compiler,
          plugin_new: :plugins,
          wat_to_wasm: :wat,
          wave_parse: :components,
          wit_world: :components
        ] do
      error = Loaded.left_out(function, Native.features())
      assert %Error{reason: :unsupported} = error
      assert Exception.message(error) =~ "leaves out #{inspect(feature)}"
    end

    assert Loaded.feature(:memory_read) == nil
  end
end
