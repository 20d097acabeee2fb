defmodule Wasmex.Application do
  @moduledoc false
  # Starts the cache of compiled files, the table of pools, the queue of compiler helpers, and the
  # registry for parts of HTTP servers. Modules, stores and instances work without the application. So do programs,
  # but they are not cached.

  use Application

  @impl true
  def start(_type, _args) do
    Wasmex.Telemetry.configure()
    Wasmex.Call.Slices.start()

    children = [
      Wasmex.Cache,
      Wasmex.Pool.Handles,
      Wasmex.Code.Store,
      Wasmex.Deploy.Routes,
      {Registry, keys: :unique, name: Wasmex.Deploy.Registry},
      {DynamicSupervisor, name: Wasmex.Deploy.Servers, strategy: :one_for_one},
      {Registry, keys: :unique, name: Wasmex.HTTP.Registry},
      {Registry, keys: :unique, name: Wasmex.Socket.Registry},
      {DynamicSupervisor, name: Wasmex.HTTP.Processes, strategy: :one_for_one}
    ]

    children = compiler() ++ children

    Supervisor.start_link(children,
      strategy: :one_for_one,
      name: __MODULE__.Supervisor
    )
  end

  @doc "The processes that compile, which is all that running a program needs."
  @spec compiler() :: [Supervisor.child_spec() | {module(), term()} | module()]
  def compiler do
    [
      {DynamicSupervisor, name: Wasmex.Compiler.Helpers, strategy: :one_for_one},
      Wasmex.Compiler.Queue
    ]
  end

  # Drain calls of other nodes here, before anything is stopped.
  @impl true
  def prep_stop(state) do
    Wasmex.Cluster.Members.stopping()
    state
  end
end
