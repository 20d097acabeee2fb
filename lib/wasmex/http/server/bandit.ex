defmodule Wasmex.HTTP.Server.Bandit do
  @moduledoc false
  # Serves functions with Bandit, through `Wasmex.Plug`. Bandit is called at run time, because it is an optional
  # dependency.

  @compile {:no_warn_undefined, [Bandit, ThousandIsland]}

  alias Wasmex.HTTP.Service

  @doc "Whether Bandit and Plug are available."
  @spec available?() :: boolean()
  def available?, do: Code.ensure_loaded?(Bandit) and Code.ensure_loaded?(Plug.Conn)

  @doc "Starts Bandit for the service with this key. Errors have the form of `Wasmex.HTTP.Server.Listener`."
  @spec start_link(term(), map()) :: {:ok, pid()} | {:error, term()}
  def start_link(key, opts) do
    own = [
      plug: {__MODULE__, Service.handle(key, opts)},
      port: opts.port,
      ip: opts.ip,
      startup_log: false
    ]

    case Bandit.start_link(Keyword.merge(own, opts.bandit)) do
      {:error, {:shutdown, {:failed_to_start_child, :listener, posix}}} when is_atom(posix) ->
        {:error, {:shutdown, {:listen, opts.port, posix}}}

      started_or_not ->
        started_or_not
    end
  end

  @doc "The port of the server."
  @spec port(pid()) :: :inet.port_number()
  def port(bandit) do
    {:ok, {_address, port}} = ThousandIsland.listener_info(bandit)
    port
  end

  @doc "Plug's `init/1`."
  @spec init(Service.t()) :: Service.t()
  def init(service), do: service

  @doc "Plug's `call/2`."
  @spec call(struct(), Service.t()) :: struct()
  defdelegate call(conn, service), to: Wasmex.Plug, as: :serve
end
