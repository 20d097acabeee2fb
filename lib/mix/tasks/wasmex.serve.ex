defmodule Mix.Tasks.Wasmex.Serve do
  @shortdoc "Serves a folder of functions over HTTP"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @own [
    config: [
      type: {:or, [nil], :string},
      doc:
        "settings per function, by default DIR/functions.exs if it exists: an Elixir file that returns a map such as `%{\"goenv\" => [timeout: 100, env: %{\"A\" => \"1\"}]}`",
      flag: {:config, "FILE"}
    ],
    certfile: [
      type: {:or, [nil], :string},
      doc:
        "serve HTTPS with the certificate in this PEM file; requires `--keyfile`, and Bandit in the project",
      flag: {:certfile, "FILE"}
    ],
    keyfile: [
      type: {:or, [nil], :string},
      doc: "the private key of the certificate, in PEM format",
      flag: {:keyfile, "FILE"}
    ],
    quiet: [type: :boolean, default: false, doc: "do not log requests", flag: :quiet]
  ]
  @server Options.HTTP.server() ++ Options.HTTP.service()
  @function Options.HTTP.function()
  @options Options.table(@server ++ @function ++ @own, "mix wasmex.serve")

  @moduledoc """
  Serves a folder of functions over HTTP. Each `.wasm`, `.wat` or `.cwasm` file handles requests under its name.

      mix wasmex.serve DIR [--port 8080]
      mix wasmex.serve examples/faas
      curl "localhost:8080/goenv?foo=bar&id=1234"
      mix wasmex.serve examples/faas --certfile cert.pem --keyfile key.pem

  `GET /` shows the functions with their statistics. Changed files are loaded within a second. `Wasmex.HTTP` describes how
  a program receives a request and returns a response.

  ## A cluster

  With `--cluster` the functions are deployed on all connected nodes of the cluster: those of other `mix wasmex.serve
  --cluster`, and of applications with `Wasmex.Cluster`. The VM needs a name; Erlang connects it to the others:

      elixir --sname a -S mix wasmex.serve functions --cluster --port 8080
      elixir --sname b --erl "-kernel sync_nodes_optional ['a@$(hostname -s)'] -kernel sync_nodes_timeout 2000" \\
        -S mix wasmex.serve functions --cluster --port 8081

  `GET /` shows the nodes, their loads, and their versions of each function. A request for which this node has no room
  runs on another node. A changed file is deployed on all of them; a joining node keeps its own versions.

  ## Flags

  #{Flag.docs(@options)}

  Ctrl-C stops the server after the current requests have ended.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.CLI
  alias Wasmex.HTTP.{Folder, Server, Service}

  @impl true
  def run(argv) do
    {opts, dir} = CLI.one_argument(__MODULE__, "the folder of the functions", argv, @options)
    CLI.start()
    # For a TLS listener and Bandit's processes; errors mean that the project does not have them.
    for application <- [:ssl, :bandit], do: Application.ensure_all_started(application)
    if opts[:cluster], do: cluster()
    serve(dir, opts)
  end

  defp cluster do
    unless Node.alive?() do
      CLI.fail("--cluster needs a VM with a name: elixir --sname NAME -S mix wasmex.serve …")
    end

    {:ok, _} = Wasmex.Cluster.start_link(follow: true)
  end

  defp serve(dir, opts) do
    unless File.dir?(dir), do: CLI.fail("#{dir} is not a folder")
    ref = make_ref()
    Wasmex.Native.interrupt_notify(ref)
    Process.flag(:trap_exit, true)

    case start(dir, opts) do
      {:ok, server} ->
        announce(server, dir, if(opts[:certfile], do: "https", else: "http"))
        wait(server, ref)

      {:error, reason} ->
        CLI.fail("the server did not start: #{describe(reason)}")
    end
  end

  defp start(dir, opts) do
    opts
    |> Keyword.take(Keyword.keys(@server))
    |> Keyword.merge(
      dir: dir,
      defaults: Keyword.take(opts, Keyword.keys(@function)),
      functions: config(dir, opts[:config]),
      log: !opts[:quiet]
    )
    |> Keyword.merge(tls(opts[:certfile], opts[:keyfile]))
    |> Server.start_link()
  rescue
    error in ArgumentError -> CLI.fail(Exception.message(error))
  end

  # The built-in server has no TLS.
  defp tls(nil, nil), do: []

  defp tls(cert, key) when cert != nil and key != nil do
    for file <- [cert, key],
        not File.regular?(file),
        do: CLI.fail("the file #{file} does not exist")

    paths = [certfile: Path.expand(cert), keyfile: Path.expand(key)]
    [web_server: :bandit, bandit: [scheme: :https] ++ paths]
  end

  defp tls(_cert, _key),
    do: CLI.misuse(__MODULE__, "--certfile and --keyfile must be used together")

  defp config(dir, nil) do
    file = Path.join(dir, "functions.exs")
    if File.exists?(file), do: config(dir, file), else: %{}
  end

  defp config(_dir, file) do
    unless File.exists?(file), do: CLI.fail("--config: the file #{file} does not exist")
    {value, _} = Code.eval_file(file)

    if is_map(value) and Enum.all?(value, fn {_, settings} -> Keyword.keyword?(settings) end),
      do: value,
      else:
        CLI.fail(
          ~s|#{file}: expected a map such as %{"goenv" => [timeout: 100]}, not #{inspect(value, limit: 5)}|
        )
  end

  defp describe({:shutdown, {:failed_to_start_child, _, {:shutdown, {:listen, port, posix}}}}),
    do: "can't listen on port #{port}: #{:inet.format_error(posix)}"

  defp describe({:shutdown, {:failed_to_start_child, _, reason}}), do: describe(reason)
  defp describe(reason), do: Exception.format_exit(reason)

  defp announce(server, dir, scheme) do
    url = "#{scheme}://localhost:#{Server.port(server)}"
    IO.puts("serving #{dir} at #{url}/")

    for {name, found, error} <- Folder.list(table(server)) do
      case found do
        {:ok, function} -> IO.puts("  #{url}/#{name}  (#{function.convention})")
        _ -> IO.puts("  #{name}: not served: #{error || "a link that leaves the folder"}")
      end
    end
  end

  defp table(server) do
    {Service, service, _, _} = server |> Supervisor.which_children() |> List.keyfind(Service, 0)
    {Folder, folder, _, _} = service |> Supervisor.which_children() |> List.keyfind(Folder, 0)
    folder |> Folder.tables() |> elem(0)
  end

  defp wait(server, ref) do
    receive do
      {:wasmex_interrupt, ^ref} ->
        IO.puts("stopping")
        Server.stop(server)

      {:EXIT, ^server, reason} ->
        CLI.fail("the server stopped: #{Exception.format_exit(reason)}")
    end
  end
end
