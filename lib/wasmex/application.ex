defmodule Wasmex.Application do
  @moduledoc false
  # One process: the programs that were compiled from files. All else lives without the application
  # being started, and programs do too, only that nothing is remembered.

  use Application

  @impl true
  def start(_type, _args) do
    Wasmex.Telemetry.configure()

    Supervisor.start_link([Wasmex.Program.Cache],
      strategy: :one_for_one,
      name: __MODULE__.Supervisor
    )
  end
end
