defmodule Wasmex.HTTP.Server do
  alias Wasmex.Options
  alias Wasmex.Options.Docs

  @options Options.table(
             Options.HTTP.service() ++ Options.HTTP.server() ++ Options.HTTP.page(true),
             "Wasmex.HTTP.Server.start_link/1"
           )

  @moduledoc """
  Serves a folder of functions over HTTP.

  It uses [Bandit](https://hex.pm/packages/bandit) if the project depends on it, with HTTP/2, TLS and connection limits.
  Otherwise it uses a built-in HTTP/1.1 server without dependencies. In a Plug pipeline, use `Wasmex.Plug`.

      children = [{Wasmex.HTTP.Server, dir: "functions", port: 8080}]

  `GET /name/rest?query` runs `name.wasm` (or `.wat`, `.cwasm`) in the folder, see `Wasmex.HTTP`.

  ## Options

  #{Docs.table(@options)}

  Invalid settings raise an error.

  ## Versions

  Changed files are loaded within a second; running requests finish with the old version. If a changed file does not
  compile, the old version stays active.

  Each function is deployed (`Wasmex.Deploy`): a changed file is a new version beside the old one. With `deploy:
  [canary: 10]` it gets a tenth of the requests, until `Wasmex.Deploy.promote/1`. A version that fails too often is
  rolled back automatically, as `deploy: [rollback: …]` says; a response of 500 or above counts as a failure.
  `deployed_as/2` returns the name for `Wasmex.Deploy.versions/1`, `rollback/1`, `history/1` and others:

      name = Wasmex.HTTP.Server.deployed_as(server, "goenv")
      {:ok, _version} = Wasmex.Deploy.rollback(name)

  After a rollback, the next change of the file is the next version. Resident servers have only one version at a time.

  ## Example

      iex> {:ok, server} = Wasmex.HTTP.Server.start_link(dir: "examples/faas", port: 0)
      iex> port = Wasmex.HTTP.Server.port(server)
      iex> {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
      iex> :gen_tcp.send(socket, "GET /rustenv?b=2&a=1 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
      iex> {:ok, response} = :gen_tcp.recv(socket, 0)
      iex> response =~ "HTTP/1.1 200 OK" and response =~ "http_query=a=1&b=2"
      true
      iex> Wasmex.HTTP.Server.stop(server)
      :ok
  """

  use Supervisor

  alias Wasmex.HTTP.{Folder, Gate, Service, Versions}
  alias Wasmex.HTTP.Server.{Bandit, Listener}
  alias Wasmex.Utils
  alias Wasmex.Call.Timeout

  @doc "Starts a server. Raises for invalid options, and returns an error if the port is in use."
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(opts) do
    opts = opts |> Service.check!(@options) |> web_server!()
    start_opts = if opts.name, do: [name: opts.name], else: []
    Supervisor.start_link(__MODULE__, opts, start_opts)
  end

  defp web_server!(%{web_server: :auto} = opts),
    do: web_server!(%{opts | web_server: if(Bandit.available?(), do: :bandit, else: :builtin)})

  defp web_server!(%{web_server: :builtin, bandit: [_ | _]}),
    do:
      raise(
        ArgumentError,
        "bandit: requires web_server: :bandit, and the project does not depend on Bandit"
      )

  defp web_server!(%{web_server: :bandit} = opts) do
    unless Bandit.available?(),
      do:
        raise(
          ArgumentError,
          "web_server: :bandit requires the dependency {:bandit, \"~> 1.5\"}"
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

    # Connections use tables of the service.
    Supervisor.init(children, strategy: :rest_for_one)
  end

  defp listener(key, %{web_server: :builtin} = opts),
    do: %{id: Listener, start: {Listener, :start_link, [key, opts]}}

  defp listener(key, opts),
    do: %{id: Bandit, start: {Bandit, :start_link, [key, opts]}, type: :supervisor}

  @doc "The port of the server."
  @spec port(Supervisor.supervisor()) :: :inet.port_number()
  def port(server) do
    children = server |> Utils.server!() |> Supervisor.which_children()

    # Bandit and the built-in listener report it differently.
    [port] = for {id, pid, _, _} <- children, id in [Bandit, Listener], do: id.port(pid)
    port
  end

  @doc "Scans the folder now, and returns when all changed files are compiled."
  @spec refresh(Supervisor.supervisor()) :: :ok
  def refresh(server), do: server |> part(Folder) |> Folder.refresh()

  @doc "The name of a function for `Wasmex.Deploy`, for its versions and rollbacks."
  @spec deployed_as(Supervisor.supervisor(), String.t()) :: Wasmex.Deploy.name()
  def deployed_as(server, function) do
    scope = server |> part(Folder) |> Folder.scope()
    Versions.name(scope, function)
  end

  @doc """
  Stops the server gracefully: new requests get 503, and running ones have `timeout` ms to finish.
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
