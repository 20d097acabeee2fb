defmodule Wasmex.HTTP.Server do
  alias Wasmex.Options
  alias Wasmex.Options.Docs

  @options Options.table(
             Options.HTTP.service() ++ Options.HTTP.server() ++ Options.HTTP.page(true),
             "Wasmex.HTTP.Server.start_link/1"
           )

  @moduledoc """
  Serves a folder of functions over HTTP.

  In a project that has [Bandit](https://hex.pm/packages/bandit) it runs on that, with its HTTP/2, TLS and limits of
  connections; else on a server of HTTP/1.1 that is built in and needs nothing else. Inside a Plug pipeline use
  `Wasmex.Plug`.

      children = [{Wasmex.HTTP.Server, dir: "functions", port: 8080}]

  `GET /name/rest?query` runs `name.wasm` (or `.wat`, `.cwasm`) of the folder: `Wasmex.HTTP` tells how.

  ## Options

  #{Docs.table(@options)}

  A setting that is wrong raises and names its key.

  Files that change are picked up within a second; requests under way finish on what they began with. A
  file that does not compile leaves the version before it in place.

  ## Example

      iex> {:ok, server} = Wasmex.HTTP.Server.start_link(dir: "examples/faas", port: 0)
      iex> port = Wasmex.HTTP.Server.port(server)
      iex> {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
      iex> :gen_tcp.send(socket, "GET /rustenv?b=2&a=1 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
      iex> {:ok, answer} = :gen_tcp.recv(socket, 0)
      iex> answer =~ "HTTP/1.1 200 OK" and answer =~ "http_query=a=1&b=2"
      true
      iex> Wasmex.HTTP.Server.stop(server)
      :ok
  """

  use Supervisor

  alias Wasmex.HTTP.{Folder, Gate, Service}
  alias Wasmex.HTTP.Server.{Bandit, Listener}
  alias Wasmex.Utils
  alias Wasmex.Call.Timeout

  @doc "Starts it; raises where an option is wrong, and fails where the port is taken."
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(opts) do
    opts = opts |> Service.check!(@options) |> web_server!()
    start_opts = if opts.name, do: [name: opts.name], else: []
    Supervisor.start_link(__MODULE__, opts, start_opts)
  end

  defp web_server!(%{web_server: :auto} = opts),
    do: web_server!(%{opts | web_server: if(Bandit.available?(), do: :bandit, else: :builtin)})

  defp web_server!(%{web_server: :builtin, bandit: [_ | _]}),
    do: raise(ArgumentError, "bandit: is for web_server: :bandit, and the project has no Bandit")

  defp web_server!(%{web_server: :bandit} = opts) do
    unless Bandit.available?(),
      do:
        raise(
          ArgumentError,
          "web_server: :bandit needs {:bandit, \"~> 1.5\"} among the project's dependencies"
        )

    opts
  end

  defp web_server!(opts), do: opts

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  @impl true
  def init(opts) do
    key = make_ref()

    children = [
      %{id: Service, start: {Service, :start_link, [key, opts]}, type: :supervisor},
      listener(key, opts)
    ]

    # The listener's connections hold tables that the service made.
    Supervisor.init(children, strategy: :rest_for_one)
  end

  defp listener(key, %{web_server: :builtin} = opts),
    do: %{id: Listener, start: {Listener, :start_link, [key, opts]}}

  defp listener(key, opts),
    do: %{id: Bandit, start: {Bandit, :start_link, [key, opts]}, type: :supervisor}

  @doc "The port that it listens on."
  @spec port(Supervisor.supervisor()) :: :inet.port_number()
  def port(server) do
    children = server |> Utils.server!() |> Supervisor.which_children()

    # Bandit or the listener: each is asked in its own way.
    [port] = for {id, pid, _, _} <- children, id in [Bandit, Listener], do: id.port(pid)
    port
  end

  @doc "Looks at the folder now; returns when all that changed was compiled."
  @spec refresh(Supervisor.supervisor()) :: :ok
  def refresh(server), do: server |> part(Folder) |> Folder.refresh()

  @doc """
  Stops it gracefully: requests that come are answered with 503, those under way have `timeout` ms to end.
  """
  @spec stop(Supervisor.supervisor(), timeout()) :: :ok
  def stop(server, timeout \\ 5_000) do
    server |> part(Gate) |> Gate.drain(timeout |> Timeout.check!() |> Timeout.capped())
    Supervisor.stop(server)
  end

  defp part(server, id), do: server |> Utils.server!() |> child(Service) |> child(id)

  defp child(supervisor, id) do
    {^id, pid, _, _} = supervisor |> Supervisor.which_children() |> List.keyfind(id, 0)
    pid
  end
end
