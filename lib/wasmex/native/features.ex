defmodule Wasmex.Native.Features do
  @moduledoc false
  # The parts of the native library that a build can leave out: `config :wasmex, features:`, see guides/installation.md
  # and native/wasmex/Cargo.toml. A function of a part that is left out keeps its stub in `Wasmex.Native`, which fails
  # with the error made here.

  alias Wasmex.Error

  @compiler ~w(module_compile module_serialize component_compile component_serialize engine_precompile)a

  @doc "Whether a library with these features (`Wasmex.Native.features/0`) has this one."
  @spec has?([String.t()], atom()) :: boolean()
  def has?(features, feature), do: Atom.to_string(feature) in features

  @doc "The error of a function of `Wasmex.Native` that a library with these features does not have."
  @spec left_out(atom(), [String.t()]) :: Error.t()
  def left_out(function, features) do
    %Error{
      reason: :unsupported,
      details: %{
        message:
          "this build of the native library leaves out #{inspect(feature(function))}, which this needs; " <>
            "it has #{inspect(Enum.map(features, &String.to_existing_atom/1))}, " <>
            "see `config :wasmex, features:`"
      }
    }
  end

  @doc "The feature that a function of `Wasmex.Native` belongs to; nil if it is in every build."
  @spec feature(atom()) :: atom()
  def feature(function) when function in @compiler, do: :compiler
  def feature(:wat_to_wasm), do: :wat

  def feature(function) do
    case Atom.to_string(function) do
      "component_" <> _ -> :components
      "wit_" <> _ -> :components
      "wave_" <> _ -> :components
      "plugin_" <> _ -> :plugins
      _ -> nil
    end
  end
end
