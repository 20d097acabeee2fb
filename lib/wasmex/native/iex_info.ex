# `i handle` in IEx. IEx is an optional application: releases may not have it.
if Code.ensure_loaded?(IEx.Info) do
  defmodule Wasmex.Native.IExInfo do
    @moduledoc false

    alias Wasmex.Components

    # Each kind of handle, with a description and related modules.
    @about %{
      Wasmex.Engine => {"Compiler settings that modules and stores share", [Wasmex.EngineConfig]},
      Wasmex.Module =>
        {"A compiled module: see exports/1, imports/1 and info/1",
         [Wasmex.Instance, Wasmex.Linker]},
      Wasmex.StoreOrCaller =>
        {"A store, which owns instances, or the caller in an imported function", [Wasmex.Store]},
      Wasmex.Instance =>
        {"An instance of a module: call/4 calls its functions, export/3 gets the rest",
         [Wasmex.Module]},
      Wasmex.Template =>
        {"A module with its imports resolved: instantiate/3 makes instances", [Wasmex.Linker]},
      Wasmex.Memory => {"A linear memory: read/3 and write/3", [Wasmex.Instance]},
      Wasmex.Table => {"A table of references: get/2 and set/3", [Wasmex.Func]},
      Wasmex.Global => {"A global variable: get/1 and set/2", [Wasmex.Instance]},
      Wasmex.Tag => {"A tag, which identifies a kind of exception", [Wasmex.Instance]},
      Wasmex.Func => {"A function of a store: call/3", [Wasmex.Instance, Wasmex.Table]},
      Wasmex.Reference => {"An object of a guest, to pass back to it", [Wasmex.Instance]},
      Wasmex.Pipe =>
        {"A standard stream of a guest: read/1 and write/2", [Wasmex.Wasi.WasiOptions]},
      Wasmex.Linker =>
        {"Imports for modules: define/3 adds some, instantiate_pre/3 makes a template",
         [Wasmex.Template]},
      Wasmex.Code =>
        {"Code identified by its SHA-256, which can be sent to other nodes: see compiled/1",
         [Wasmex.Deploy, Wasmex.Pool]},
      Wasmex.Snapshot =>
        {"Code with the state of an initialised guest: its field bytes can be compiled",
         [Wasmex.Module]},
      Wasmex.Profile =>
        {"Samples of the stack of a guest: see flame_graph/1 and folded/1", [Wasmex.Run]},
      Wasmex.Socket =>
        {"A connection to a guest or for it: send/2 and recv/3", [Wasmex.Socket.Listener]},
      Wasmex.Socket.Listener =>
        {"A listener that guests accept connections from", [Wasmex.Socket]},
      Wasmex.HTTP.Function =>
        {"A function over HTTP, for Wasmex.HTTP.call/2", [Wasmex.HTTP, Wasmex.Plug]},
      Wasmex.Plugin => {"A plug-in: call/4", [Wasmex.Plugin.Pool]},
      Wasmex.Plugin.Compiled =>
        {"A compiled plug-in: Wasmex.Plugin.new/2 creates a plug-in", [Wasmex.Plugin]},
      Components.Component =>
        {"A compiled component: see exports/1 and imports/1",
         [Components.Instance, Wasmex.Component]},
      Components.Template =>
        {"A component with its imports resolved: instantiate/3", [Components.Component]},
      Components.Instance =>
        {"An instance of a component: call/4", [Components.Component, Wasmex.Component]},
      Components.Store => {"A store for components", [Components.Instance]},
      Components.GuestResource =>
        {"A resource that a guest owns: call/5 and drop/2", [Components.Instance]}
    }

    @doc "The modules that have handles."
    @spec modules() :: [module()]
    def modules, do: Map.keys(@about)

    @doc "The rows that `i/1` prints."
    @spec info(struct()) :: [{String.t(), String.t()}]
    def info(%module{}) do
      {description, related} = @about[module]

      [
        {"Data type", Kernel.inspect(module)},
        {"Description", description},
        {"Reference modules", Enum.map_join([module | related], ", ", &Kernel.inspect/1)}
      ]
    end
  end

  for module <- Wasmex.Native.IExInfo.modules() do
    defimpl IEx.Info, for: module do
      def info(handle), do: Wasmex.Native.IExInfo.info(handle)
    end
  end
end
