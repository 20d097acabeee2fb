defmodule Wasmex.Application do
  @moduledoc false
  # The programs that were compiled from files, the instances that wait for another request, and the names of the parts of HTTP servers. Modules,
  # stores and instances live without the application being started; programs do too, only that nothing is
  # remembered.

  use Application

  @impl true
  def start(_type, _args) do
    Wasmex.Telemetry.configure()

    children = [
      Wasmex.Cache,
      Wasmex.Pool.Idle,
      Wasmex.Pool.Handles,
      Wasmex.Code.Store,
      Wasmex.Deploy.Routes,
      {Registry, keys: :unique, name: Wasmex.Deploy.Registry},
      {DynamicSupervisor, name: Wasmex.Deploy.Servers, strategy: :one_for_one},
      {DynamicSupervisor, name: Wasmex.Compiler.Helpers, strategy: :one_for_one},
      Wasmex.Compiler.Queue,
      {Registry, keys: :unique, name: Wasmex.HTTP.Registry}
    ]

    Supervisor.start_link(children,
      strategy: :one_for_one,
      name: __MODULE__.Supervisor
    )
  end
end
