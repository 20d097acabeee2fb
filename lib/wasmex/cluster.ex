defmodule Wasmex.Cluster do
  alias Wasmex.Options

  @start Options.table(
           [
             nodes: [
               type: {:or, [nil], {:integer, 1..10_000}},
               default_doc: "calls with a key work in any partition",
               doc:
                 "the normal number of nodes: calls with a key need more than half of them, so that they work in at most one part of a partitioned cluster",
               example: "3"
             ],
             heartbeat: [
               type: {:milliseconds, 10..60_000},
               default: 200,
               doc: "interval of heartbeats with this node's load"
             ],
             follow: [
               type: :boolean,
               default: false,
               doc: "whether a joining node deploys what the others have deployed"
             ],
             drain: [
               type: :timeout,
               default: 5_000,
               doc: "ms that stopping the application waits for running calls of other nodes"
             ]
           ],
           "Wasmex.Cluster.start_link/1"
         )
  @call Options.table(
          [
            timeout: [type: :timeout, default: 5_000, doc: "timeout in ms, on any node"],
            key: [
              type: :any,
              doc: "selects a stateful guest: each key has one, on one node"
            ],
            idempotent: [
              type: :boolean,
              default: false,
              doc: "whether the call may be repeated on another node when its node is lost"
            ],
            stdin: [
              type: :any,
              doc:
                "input of a program: a binary or an Enumerable of binaries, sent by this process as the program reads"
            ],
            stdout: [
              type: :any,
              doc:
                "output of a program, as it is printed: a function of a binary or a Collectable, in this process"
            ],
            limit_key: [
              type: :any,
              doc:
                "the tenant, for the `per_key:` limits of the pool, as `key:` of `Wasmex.Pool.call/4`"
            ]
          ],
          "Wasmex.Cluster.call/4"
        )

  @moduledoc """
  Calls functions on any node of a cluster: on this node if there is room, otherwise on one of the less busy nodes with
  the code.

  It is a thin layer: nodes are connected by Erlang's distribution (libcluster or a plain `Node.connect/1`), discover
  each other with `:pg`, and call with `:erpc`. Only deployed names can be called (`Wasmex.Deploy`), within the limits
  of the deploy.

      # in the supervision tree of each node
      {Wasmex.Cluster, nodes: 3}

      # on one of them
      {:ok, code} = Wasmex.Code.new("priv/rules.wasm")
      {:ok, _versions} = Wasmex.Cluster.deploy("rules", code, size: 16)

      # on any
      Wasmex.Cluster.call("rules", "check", [order], timeout: 200)

  ## Where a call runs

  Here, if the name is deployed here and its pool has room. Otherwise two random nodes are taken from those that have
  the name, and the less busy one gets the call (by the load in their heartbeats, and the latency of their responses). A
  node without recent heartbeats is only used if there is no other.

  ## Guests with state

  With `key:` each key has one guest on one node, selected by rendezvous hashing, which keeps its memory between calls.
  Calls of a key take turns. When nodes join or leave, some keys move. A deploy with `state: [save: "save", restore:
  "restore"]` moves the state too: the guest finishes its running calls, its node calls `save` and closes it, and the new
  node passes the result to `restore` before the next call. The same happens when a version is replaced. Without `state:`,
  or if the old node was lost, a key that moved starts again.

  With `nodes: n`, calls with a key need more than half of the nodes; otherwise they get `:no_majority`. No two nodes
  begin calls of one key at the same time, whatever the network does: a node serves keys only while more than half of the
  nodes confirm it with their heartbeats, and the keys of a lost node start elsewhere when its last confirmation has
  expired. That takes five heartbeats, at least half a second, after the node was lost or has been silent for twice that
  time; calls wait for it, at most 5 s. A call that runs when its node loses the majority runs to its end, so a `timeout:`
  shorter than five heartbeats excludes that it overlaps with the next guest. The guests of a part without majority are
  closed.

  Without `nodes:`, calls with a key work in any partition, so that a key may have a guest in each; when the parts
  connect again, the one on the key's node stays.

  ## Bodies

  A deployed program (`as: :program`) reads and prints while it runs, on any node: this process reads and writes the
  bodies `stdin:` and `stdout:` of `call/4`, and those of `stream!/3`. They are sent between nodes in parts; the next
  part is requested when the last one was used, so neither node holds the whole body, and a slow reader slows the
  program down. Arguments and results of other calls are one message each.

      {:ok, _} = Wasmex.Cluster.deploy("gzip", code, as: :program)
      Wasmex.Cluster.call("gzip", :run, ["-c"], stdin: File.stream!("large", [], 65_536), stdout: File.stream!("large.gz"))

  ## Outcomes of a call

  Each call returns one result or one error. `:timeout`: the guest was stopped on its node. It is also stopped when the
  caller dies. `:node_down`: the node was lost, and it is unknown how far the call came; with `idempotent: true` the
  call is repeated elsewhere.

  ## Errors

  `%Wasmex.Error{}` with reason `:not_deployed`, `:node_down`, `:no_majority`, and those of `Wasmex.Deploy.call/4`.

  Connections between nodes are only as private as the distribution: see the security guide.
  """

  use Supervisor

  alias Wasmex.{Call, Code, Deploy, Error}
  alias Wasmex.Cluster.{Callers, Keyed, Members, Nodes, Output, Remote, StreamedCall, Sweeper}

  @doc """
  Starts this node's part of the cluster. Each node starts one.

  #{Options.Docs.table(@start)}
  """
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(opts \\ []),
    do: Supervisor.start_link(__MODULE__, Options.new!(opts, @start), name: __MODULE__)

  @impl true
  def init(opts) do
    children = [
      %{id: :pg, start: {:pg, :start_link, [Members.scope()]}},
      {Registry, keys: :unique, name: Wasmex.Cluster.Keys},
      {DynamicSupervisor, name: Wasmex.Cluster.Keepers, strategy: :one_for_one},
      Callers,
      {Sweeper, opts},
      {Members, opts}
    ]

    Supervisor.init(children, strategy: :one_for_all)
  end

  @doc """
  Calls a function of a deployed name, like `Wasmex.Deploy.call/4`, on this node or another one.

  #{Options.Docs.table(@call)}
  """
  @spec call(Deploy.name(), term(), term(), keyword()) :: {:ok, term()} | {:error, Exception.t()}
  def call(name, function, params, opts \\ []) do
    opts = Options.new!(opts, @call)
    timeout = min(opts.timeout, Call.time_left())
    deadline = Call.Timeout.deadline(timeout)

    request =
      {name, function, params, if(opts.limit_key != nil, do: [key: opts.limit_key], else: [])}

    case {opts.key, streams!(opts)} do
      {nil, nil} -> anywhere(request, deadline, opts.idempotent, [])
      {nil, streams} -> streamed(request, deadline, streams)
      {key, nil} -> Keyed.call(request, key, deadline, opts.idempotent)
    end
  end

  defp streams!(%{stdin: nil, stdout: nil}), do: nil

  defp streams!(%{stdin: stdin, stdout: stdout} = opts) do
    if opts.key != nil or opts.idempotent,
      do:
        raise(ArgumentError, "stdin: and stdout: are for programs, without key: and idempotent:")

    unless stdin == nil or is_binary(stdin) or Enumerable.impl_for(stdin) != nil,
      do: Options.misuse!("a binary or an Enumerable as stdin", stdin)

    {StreamedCall.parts(stdin), stdout}
  end

  # A body can be read only once, so such a call is not repeated.
  defp streamed({name, function, params, opts} = request, deadline, {stdin, stdout}) do
    case Nodes.pick(name, []) do
      nil ->
        {:error, Nodes.nowhere(name, [])}

      node when node == node() ->
        streams = [stdin: stdin, stdout: stdout || :capture]
        Remote.here({name, function, params, streams ++ opts}, deadline)

      node ->
        node
        |> StreamedCall.open({Remote, :program}, [request], stdin, deadline)
        |> Output.run(stdout)
    end
  end

  @doc """
  Runs a program and returns its output as a Stream: the program runs on a node of the cluster while the stream is read,
  at the reader's pace, and ends with it. `stdin:` and `timeout:` as in `call/4`. Failures raise.

      Wasmex.Cluster.stream!("gzip", ["-9"], stdin: File.stream!("large", [], 65_536))
      |> Enum.into(File.stream!("large.gz"))
  """
  @spec stream!(Deploy.name(), [String.t()], keyword()) :: Enumerable.t()
  def stream!(name, args, opts \\ []) do
    opts = Options.new!(opts, @call)
    {stdin, _} = streams!(%{opts | stdin: opts.stdin || ""})

    open = fn ->
      deadline = Call.Timeout.deadline(min(opts.timeout, Call.time_left()))
      node = Nodes.pick(name, []) || raise Nodes.nowhere(name, [])
      StreamedCall.open(node, {Remote, :program}, [{name, :run, args, []}], stdin, deadline)
    end

    Stream.resource(open, &Output.next!/1, &Output.close/1)
  end

  defp anywhere({name, _, _, _} = request, deadline, again?, lost) do
    case Nodes.pick(name, lost) do
      nil ->
        {:error, Nodes.nowhere(name, lost)}

      node ->
        case on(node, request, deadline) do
          # A node that does not have the name has not begun the call.
          {:error, %Error{reason: reason}} = error
          when reason == :not_deployed or (again? and reason == :node_down) ->
            otherwise(error, request, deadline, again?, [node | lost])

          result ->
            result
        end
    end
  end

  defp on(node, request, deadline) when node == node(), do: Remote.here(request, deadline)
  defp on(node, request, deadline), do: Remote.call(node, :run, [request], deadline)

  defp otherwise(error, {name, _, _, _} = request, deadline, again?, lost) do
    if Call.Timeout.over?(deadline) or Nodes.pick(name, lost) == nil,
      do: error,
      else: anywhere(request, deadline, again?, lost)
  end

  @doc """
  Deploys on the nodes of the cluster, one after the other, like `Wasmex.Deploy.deploy/3`. Returns the version's number
  on each. If one fails, the others are rolled back.
  """
  @spec deploy(Deploy.name(), Code.t(), keyword()) ::
          {:ok, %{node() => pos_integer()}} | {:error, Exception.t()}
  def deploy(name, %Code{} = code, opts \\ []), do: deploy_on(nodes(), name, code, opts, %{})

  defp deploy_on([], _name, _code, _opts, done), do: {:ok, done}

  defp deploy_on([node | nodes], name, code, opts, done) do
    case Remote.call(node, :deploy, [name, code, opts], Call.Timeout.deadline(:infinity)) do
      {:ok, version} ->
        deploy_on(nodes, name, code, opts, Map.put(done, node, version))

      # A node that was just lost has no versions left.
      {:error, %Error{reason: :node_down}} ->
        deploy_on(nodes, name, code, opts, done)

      error ->
        for {node, _version} <- done, do: Remote.call(node, :back, [name], :infinity)
        error
    end
  end

  @doc "Rolls back to the previous version on all nodes that have the name. Returns the version's number on each."
  @spec rollback(Deploy.name()) :: %{node() => {:ok, pos_integer()} | {:error, Exception.t()}}
  def rollback(name), do: Map.new(nodes(), &{&1, Remote.call(&1, :back, [name], :infinity)})

  @doc "The known nodes of the cluster, including this one."
  @spec nodes() :: [node()]
  def nodes, do: Nodes.all()

  @doc "The state of each node: its `:names` with their versions, its `:load`, and `:delay`, its latency in µs beyond the work."
  @spec info() :: %{node() => map()}
  def info, do: Nodes.info()

  @doc """
  Announces that this node leaves, hands its guests with keys over, and waits at most this many ms for running calls of
  other nodes. Stopping the application does it automatically.
  """
  @spec drain(timeout()) :: :ok | {:error, Exception.t()}
  def drain(timeout \\ 5_000), do: Members.drain(timeout)
end
