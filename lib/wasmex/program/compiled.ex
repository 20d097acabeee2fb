defmodule Wasmex.Program.Compiled do
  @moduledoc false
  # Compiles programs, and returns the kind of a compiled program.

  alias Wasmex.{Artefact, Compiler, Engine, Module}
  alias Wasmex.Components.Component
  alias Wasmex.Program.Kind

  @type t :: Kind.compiled()

  @doc "The `Wasmex.Program.Kind` of a compiled program."
  @spec kind(t()) :: module()
  def kind(%Module{}), do: Kind.Core
  def kind(%Component{}), do: Kind.Component

  @doc "Bytes to a module or component: wasm, text, or an artefact, which is verified."
  @spec compile(binary(), Engine.t(), Compiler.Options.t()) ::
          {:ok, t()} | {:error, Exception.t()}
  def compile(bytes, engine, options \\ %Compiler.Options{}) do
    cond do
      Artefact.artefact?(bytes) -> artefact(bytes, engine)
      component?(bytes) -> Component.make(Engine.resource(engine), bytes, %{}, options)
      true -> Module.make(Engine.resource(engine), bytes, options)
    end
  end

  # Whether an artefact holds a module or a component shows only when an engine loads it.
  defp artefact(bytes, engine) do
    with {:error, error} <- Module.deserialize(bytes, engine) do
      case Component.deserialize(bytes, engine) do
        {:ok, component} -> {:ok, component}
        {:error, _} -> {:error, error}
      end
    end
  end

  defp component?(<<0, "asm", _version::16, layer::little-16, _::binary>>), do: layer != 0
  defp component?(<<0, "asm", _::binary>>), do: false
  defp component?(text), do: String.match?(text, ~r/\A\s*\(component\b/)
end
