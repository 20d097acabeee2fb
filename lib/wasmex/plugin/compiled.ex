defmodule Wasmex.Plugin.Compiled do
  @moduledoc """
  A plug-in that is compiled and linked, `Wasmex.Plugin.compile/2`: plug-ins are made from it, by any number of
  processes.
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
