defmodule Wasmex.HTTP.Daemon do
  @moduledoc false
  # Holds the `:httpd` of a server: starts it, knows its port, and ends it.

  use GenServer

  alias Wasmex.HTTP.{HttpdModule, Service}

  # Beyond these a request is refused by httpd itself.
  @header 64 * 1024
  @uri 16 * 1024
  @body 64 * 1024 * 1024

  @doc "`key` names the service that it serves."
  def start_link(key, own, service), do: GenServer.start_link(__MODULE__, {key, own, service})

  def port(daemon), do: GenServer.call(daemon, :port)

  @impl true
  def init({key, own, service}) do
    Process.flag(:trap_exit, true)

    case listen(own, Service.handle(key, service)) do
      {:ok, httpd} -> {:ok, httpd}
      {:error, reason} -> {:stop, {:shutdown, reason}}
    end
  end

  defp listen(own, handle) do
    {:ok, _} = Application.ensure_all_started(:inets)
    directory = String.to_charlist(System.tmp_dir!())

    :inets.start(:httpd,
      port: own[:port],
      bind_address: own[:ip],
      ipfamily: if(tuple_size(own[:ip]) == 8, do: :inet6, else: :inet),
      server_name: 'wasmex',
      server_tokens: :none,
      server_root: directory,
      document_root: directory,
      modules: [HttpdModule],
      max_clients: 10_000,
      max_header_size: @header,
      max_uri_size: @uri,
      max_body_size: @body,
      # Of a client that dawdles: bytes a second.
      minimum_bytes_per_second: 100,
      keep_alive_timeout: 30,
      max_keep_alive_request: 1_000_000,
      wasmex: handle
    )
  end

  @impl true
  def handle_call(:port, _from, httpd),
    do: {:reply, Keyword.fetch!(:httpd.info(httpd, [:port]), :port), httpd}

  @impl true
  def handle_info(_message, httpd), do: {:noreply, httpd}

  @impl true
  def terminate(_reason, httpd), do: :inets.stop(:httpd, httpd)
end
