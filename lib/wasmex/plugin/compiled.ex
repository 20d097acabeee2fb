defmodule Wasmex.Plugin.Compiled do
  @moduledoc """
  A compiled and linked plug-in, the result of `Wasmex.Plugin.compile/2`. Any process can create plug-ins from it.
  """

  @enforce_keys [:kind, :resource, :manifest, :engine, :options]
  defstruct [:kind, :resource, :manifest, :engine, :options, reference: nil]

  @type t :: %__MODULE__{
          kind: :module | :component,
          resource: reference() | tuple(),
          manifest: Wasmex.Plugin.Manifest.t(),
          engine: Wasmex.Engine.t(),
          options: map(),
          reference: reference()
        }
end
