defmodule Wasmex.HTTP.Service do
  @moduledoc false
  # Handles requests from the server and the plug: finds the function, enters the gate, runs the exchange, counts and
  # logs.

  use Supervisor

  require Logger

  alias Wasmex.{Options, Telemetry, Utils}

  alias Wasmex.HTTP.{
    OtherNodes,
    Exchange,
    Folder,
    Gate,
    GuestLog,
    Page,
    Request,
    Resident,
    Response
  }

  alias Wasmex.HTTP.{Stats, Versions}

  # `only` is the function of a service with a single file, `scope` that of `Wasmex.HTTP.Versions`.
  defstruct [:folder, :table, :gate, :stats, :only, :scope, log: false, page: false]

  @type t :: %__MODULE__{}

  @doc "Validates the options of a server or plug."
  @spec check!(keyword(), Options.t()) :: map()
  def check!(opts, table) do
    opts = Options.new!(opts, table)

    unless opts.dir || opts.file,
      do:
        raise(
          ArgumentError,
          "missing option dir: (a folder of functions) or file: (one function)"
        )

    Folder.check!(opts)

    if opts.cluster and Process.whereis(Wasmex.Cluster) == nil,
      do: raise(ArgumentError, "cluster: true needs {Wasmex.Cluster, …} to be started before")

    opts
  end

  @doc "Starts a service. `key` is a term that identifies it; the options are those of `check!/2`."
  @spec start_link(term(), map()) :: Supervisor.on_start()
  def start_link(key, opts), do: Supervisor.start_link(__MODULE__, {key, opts})

  @doc "The registered name of a part of the service."
  @spec name(term(), module()) :: GenServer.name()
  def name(key, part), do: {:via, Registry, {Wasmex.HTTP.Registry, {key, part}}}

  @impl true
  def init({key, opts}) do
    stats = Stats.new()
    folder = opts |> Map.take([:dir, :file, :functions, :defaults, :deploy]) |> Map.to_list()

    # The supervisor owns the tables and the deploys, so that they survive a restart of its children.
    own = [name: name(key, Folder), stats: stats, table: Folder.new(), owner: self()]
    own = [scope: scope(key, opts)] ++ own
    folder = own ++ folder

    gate = [
      name: name(key, Gate),
      tables: Gate.new(opts.concurrency),
      concurrency: opts.concurrency,
      queue: opts.queue
    ]

    Supervisor.init([{Folder, folder}, {Gate, gate}], strategy: :one_for_one)
  end

  defp scope(_key, %{cluster: true}), do: :cluster
  defp scope(key, _opts), do: key

  @doc "The handle for requests."
  @spec handle(term(), map()) :: t()
  def handle(key, opts) do
    folder = name(key, Folder)
    {table, stats} = Folder.tables(folder)

    %__MODULE__{
      folder: folder,
      table: table,
      gate: key |> name(Gate) |> Gate.handle(),
      stats: stats,
      scope: scope(key, opts),
      only: opts.file && opts.file |> Path.basename() |> Path.rootname(),
      log: opts.log,
      page: opts.page
    }
  end

  @doc "Handles a request and responds through `reply`, see `Exchange.run/5`. Returns `{response, state}`."
  @spec serve(t(), Request.t(), fun(), term(), term()) :: {Response.t(), term()}
  def serve(%__MODULE__{} = service, %Request{} = request, reply, state, closed \\ nil) do
    if service.log, do: GuestLog.hold()
    span = if Telemetry.on?(:http), do: Telemetry.start(:http, metadata(service, request))
    {response, state} = route(service, request, reply, state, closed)
    Telemetry.stop(span, outcome(response), %{}, %{status: response.status})
    if service.log, do: log(request, response)
    {response, state}
  end

  defp metadata(service, request) do
    function =
      case service do
        %{only: nil} -> if knows?(service, request), do: request |> Request.shift() |> elem(0)
        %{only: only} -> only
      end

    request
    |> Map.take([:method, :path, :mount, :scheme, :remote_addr])
    |> Map.put(:function, if(function != "", do: function))
  end

  defp outcome(%{error: nil}), do: :ok
  defp outcome(%{error: error}), do: {:error, error}

  defp log(request, response) do
    query = if request.query == "", do: "", else: "?" <> request.query
    target = printable(request.script_name <> request.path <> query)
    GuestLog.access("#{request.method} #{target} #{response.status} #{response.duration} µs")
  end

  @doc "Whether a request is for one of the functions, or for the page."
  @spec knows?(t(), Request.t()) :: boolean()
  def knows?(%__MODULE__{only: only}, _request) when only != nil, do: true
  def knows?(%__MODULE__{page: true}, %Request{path: "/", script_name: ""}), do: true

  def knows?(service, request) do
    {name, _request} = Request.shift(request)

    Folder.name?(name) and
      (Folder.find(service.table, name) != :unknown or other(service, name) != nil)
  end

  # A character for each byte that is not printable ASCII.
  defp printable(text) do
    for <<byte <- binary_part(text, 0, min(byte_size(text), 200))>>,
      into: "",
      do: if(byte in ?\s..?~, do: <<byte>>, else: "?")
  end

  defp route(
         %{page: true} = service,
         %Request{path: "/", script_name: ""} = request,
         reply,
         state,
         _closed
       ),
       do: respond(Page.response(service, request), reply, state)

  defp route(service, request, reply, state, closed) do
    {name, request} = if service.only, do: {service.only, request}, else: Request.shift(request)

    with :ok <- check_name(name, request.path),
         {:ok, function, counted} <- find(service, name) do
      run(service, function, request, reply, state, {closed, counted})
    else
      {:elsewhere, node} ->
        elsewhere(service, node, name, unlimited(request), reply, state, closed)

      status ->
        respond(refusal(status), reply, state)
    end
  end

  # Reject names that look like paths before any lookup.
  defp check_name(name, path) do
    cond do
      not Folder.name?(name) -> 400
      dots?(path) -> 400
      true -> :ok
    end
  end

  # Regular expressions take most of the time of this check, and most paths have none of these characters.
  defp dots?(path), do: not Utils.plain?(path) and dots_in?(path)

  defp dots_in?(path) do
    decoded = path |> String.replace(~r/%2e/i, ".") |> String.replace(~r/%2f/i, "/")
    String.contains?(path, [<<0>>, "%00", "\\"]) or ".." in String.split(decoded, "/")
  end

  defp find(service, name) do
    with :error <- Versions.find(service.scope, name) do
      case Folder.find(service.table, name) do
        {:ok, function} -> {:ok, function, nil}
        :refused -> 400
        {:broken, _error} -> 500
        :unknown -> other(service, name) || 404
      end
    end
  end

  # Another node of the cluster that has the function.
  defp other(%{scope: :cluster}, name) do
    node = name |> then(&Versions.name(:cluster, &1)) |> OtherNodes.node_for()
    if node, do: {:elsewhere, node}
  end

  defp other(_service, _name), do: nil

  # The time limit in ms of a body for a function that this node does not have. Its size is limited where it is read.
  @patience 60_000

  defp unlimited(%{body: {:stream, _length, stream}} = request),
    do: %{request | body: stream.(:infinity, @patience)}

  defp unlimited(request), do: request

  defp elsewhere(service, node, name, request, reply, state, closed) do
    deployed = Versions.name(:cluster, name)
    closed = message(closed)
    began = System.monotonic_time(:microsecond)
    {response, state} = OtherNodes.run(node, deployed, request, reply, state, closed)
    response = %{response | duration: System.monotonic_time(:microsecond) - began}
    done(service, name, response)
    {response, state}
  end

  defp refusal(status), do: Response.plain(status, "#{status} #{Response.reason(status)}")

  # A streamed body is read as the guest reads, up to the limit of the function.
  defp run(service, function, %{body: {:stream, length, stream}} = request, reply, state, passed) do
    if is_integer(length) and length > function.max_body do
      respond(refusal(413), reply, state)
    else
      request = %{request | body: stream.(function.max_body, function.options.timeout)}
      run(service, function, request, reply, state, passed)
    end
  end

  defp run(service, function, request, reply, state, passed) do
    case Wasmex.HTTP.refuse(function, request) do
      nil -> admitted(service, function, request, reply, state, passed)
      refused -> respond(refused, reply, state)
    end
  end

  defp admitted(service, function, request, reply, state, {closed, counted}) do
    case Gate.enter(service.gate) do
      :ok ->
        try do
          Gate.may_wait(service.gate, request.remote_addr)
          reply = outside(service.gate, request.remote_addr, reply)
          closed = if function.resident, do: message(closed), else: closed
          {response, state} = exchange(function).run(function, request, reply, state, closed)
          done(service, function.name, response)
          Versions.count(counted, response.status)
          {response, state}
        after
          Gate.leave(service.gate)
        end

      :full ->
        case other(service, function.name) do
          {:elsewhere, node} ->
            elsewhere(service, node, function.name, request, reply, state, closed)

          nil ->
            busy = refusal(503)
            respond(%{busy | headers: [{"retry-after", "1"} | busy.headers]}, reply, state)
        end
    end
  end

  # See `Exchange.run/5`.
  defp message(closed) when is_function(closed), do: closed.()
  defp message(closed), do: closed

  defp exchange(%{resident: nil}), do: Exchange
  defp exchange(_function), do: Resident.Exchange

  # Writing occupies no place, so that slow clients do not block others. If too many guests wait for slow clients, the
  # place is kept and the write has a short timeout.
  defp outside(gate, address, reply) do
    fn event, state ->
      stage = if ends?(event), do: :ended, else: address

      case Gate.step_out(gate, stage) do
        :kept ->
          reply.({:hurry, event}, state)

        :out ->
          written = reply.(event, state)
          unless stage == :ended, do: Gate.step_in(gate)
          written
      end
    end
  end

  defp ends?(event), do: event in [:done, :broken] or elem(event, 0) == :whole

  defp done(service, name, response) do
    Stats.count(service.stats, name, response)

    if response.error && response.status != 499 do
      GuestLog.release()
      text = "function #{name}: #{details(response.error)}"
      Logger.log(level(response.status), text, wasm: name)
    end
  end

  # A client's mistake is not an error of the server, and any client could fill the log with it.
  defp level(status) when status in 400..498, do: :info
  defp level(_status), do: :error

  # With the backtrace, which must only appear in the log.
  defp details(%Wasmex.Trap{detail: detail}), do: Wasmex.Printable.text(detail)
  defp details(error), do: Exception.message(error)

  defp respond(response, reply, state) do
    case reply.({:whole, response.status, response.headers, response.body}, state) do
      {:gone, state} -> {response, state}
      state -> {response, state}
    end
  end
end
