defmodule Wasmex.Cluster do
  alias Wasmex.Options

  @start Options.table(
           [
             nodes: [
               type: {:or, [nil], {:integer, 1..10_000}},
               default_doc: "calls with a key are answered by any part",
               doc:
                 "how many nodes there are when all is well: calls with a key need more than half of them, so that of a cluster cut in two one part at most answers",
               example: "3"
             ],
             heartbeat: [
               type: {:milliseconds, 10..60_000},
               default: 200,
               doc: "between two messages that tell the others of this node's load"
             ],
             follow: [
               type: :boolean,
               default: false,
               doc: "whether this node takes over what the others have deployed when it joins"
             ],
             drain: [
               type: :timeout,
               default: 5_000,
               doc: "ms that stopping the application waits for the calls of other nodes"
             ]
           ],
           "Wasmex.Cluster.start_link/1"
         )
  @call Options.table(
          [
            timeout: [type: :timeout, default: 5_000, doc: "ms, wherever it runs"],
            key: [
              type: :any,
              doc: "which of the stateful guests is meant: each key has one, on one node"
            ],
            idempotent: [
              type: :boolean,
              default: false,
              doc:
                "whether it may be made again on another node when its node is lost in the middle"
            ],
            stdin: [
              type: :any,
              doc:
                "of a program, what it reads: a binary or an Enumerable of binaries, which this process hands on as the program reads"
            ],
            stdout: [
              type: :any,
              doc:
                "of a program, where its output goes as it prints: a function of a binary or a Collectable, in this process"
            ],
            limit_key: [
              type: :any,
              doc:
                "for whom it is, for the `per_key:` limits of the pool, as `key:` of `Wasmex.Pool.call/4`"
            ]
          ],
          "Wasmex.Cluster.call/4"
        )

  @moduledoc """
  Functions on all nodes of a cluster: a call runs here if there is room, else on a node that has the code and little to do.

  It is thin: nodes are connected by Erlang's distribution (libcluster or a plain `Node.connect/1`), find each other by `:pg`, and
  call by `:erpc`. What can be called are the names that are deployed (`Wasmex.Deploy`), within the limits of the deploy.

      # in the supervision tree of each node
      {Wasmex.Cluster, nodes: 3}

      # on one of them
      {:ok, code} = Wasmex.Code.new("priv/rules.wasm")
      {:ok, _versions} = Wasmex.Cluster.deploy("rules", code, size: 16)

      # on any
      Wasmex.Cluster.call("rules", "check", [order], timeout: 200)

  ## Where a call runs

  Here, if the name is deployed here and its pool has a free place. Else two nodes of those that have it are taken by
  chance, and the one that has less to do gets the call (by the loads that nodes tell each other, and how long they take to
  answer). A node that has not been heard of for a while is only asked when there is no other.

  ## Guests with state

  With `key:` each key has one guest, which keeps its memory between calls, on one node: the one that rendezvous hashing says. When
  nodes come or go some keys move. A deploy with `state: [save: "save", restore: "restore"]` takes the state along: the new
  node asks the old one, which calls `save` and ends its guest, and gives the result to `restore`. Without it, and where the old node
  was lost, a key that moved begins anew.

  With `nodes: n` calls with a key need more than half of the nodes; the others get `:no_majority`.

  ## Bodies

  A program that is deployed (`as: :program`) reads and prints as it runs, wherever that is: `stdin:` and `stdout:` of `call/4` are
  read and written by this process, and so is `stream!/3`. They go between nodes in parts, and the next is asked for when the last one
  was used, so that neither node holds the whole, and a slow reader slows the program down. Arguments and results of other calls
  are one message each.

      {:ok, _} = Wasmex.Cluster.deploy("gzip", code, as: :program)
      Wasmex.Cluster.call("gzip", :run, ["-c"], stdin: File.stream!("large", [], 65_536), stdout: File.stream!("large.gz"))

  ## What may happen to a call

  Each call is answered once, with its result or an error. `:timeout`: the guest is stopped on the node where it runs. The
  caller's death stops it too. `:node_down`: the node was lost in the middle, and nobody knows how far the call came; with
  `idempotent: true` it is made again elsewhere.

  ## Errors

  `%Wasmex.Error{}` with reason `:not_deployed`, `:node_down`, `:no_majority`, and those of `Wasmex.Deploy.call/4`.

  The connection between nodes is as private as the distribution is: see the security guide.
  """

  use Supervisor

  alias Wasmex.{Call, Code, Deploy, Error}
  alias Wasmex.Cluster.{Callers, Keyed, Members, Nodes, Remote, Taker, Talk}

  @doc """
  Starts this node's part. One for each node.

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
      {Members, opts}
    ]

    Supervisor.init(children, strategy: :one_for_all)
  end

  @doc """
  Calls a function by the name that it is deployed as, as `Wasmex.Deploy.call/4`, on this node or another one.

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

    {Talk.parts(stdin), stdout}
  end

  # A body is read once, so such a call is made once.
  defp streamed({name, function, params, opts} = request, deadline, {stdin, stdout}) do
    case Nodes.pick(name, []) do
      nil ->
        {:error, Nodes.nowhere(name, [])}

      node when node == node() ->
        streams = [stdin: stdin, stdout: stdout || :capture]
        Remote.here({name, function, params, streams ++ opts}, deadline)

      node ->
        node |> Talk.open({Remote, :program}, [request], stdin, deadline) |> Taker.run(stdout)
    end
  end

  @doc """
  Runs a program and returns what it prints, as a Stream: the program runs on a node of the cluster while the stream is read, as fast
  as it is read, and ends with it. `stdin:` and `timeout:` are those of `call/4`. What fails raises.

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
      Talk.open(node, {Remote, :program}, [{name, :run, args, []}], stdin, deadline)
    end

    Stream.resource(open, &Taker.next!/1, &Taker.close/1)
  end

  defp anywhere({name, _, _, _} = request, deadline, again?, lost) do
    case Nodes.pick(name, lost) do
      nil ->
        {:error, Nodes.nowhere(name, lost)}

      node ->
        case on(node, request, deadline) do
          # One that has it no more has not begun.
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
  Deploys on the nodes of the cluster, one after the other, as `Wasmex.Deploy.deploy/3`; the version's number on each. If one
  fails, those that have it go back.
  """
  @spec deploy(Deploy.name(), Code.t(), keyword()) ::
          {:ok, %{node() => pos_integer()}} | {:error, Exception.t()}
  def deploy(name, %Code{} = code, opts \\ []), do: deploy_on(nodes(), name, code, opts, %{})

  defp deploy_on([], _name, _code, _opts, done), do: {:ok, done}

  defp deploy_on([node | nodes], name, code, opts, done) do
    case Remote.call(node, :deploy, [name, code, opts], Call.Timeout.deadline(:infinity)) do
      {:ok, version} ->
        deploy_on(nodes, name, code, opts, Map.put(done, node, version))

      # A node that is lost just now has no versions to be in the way.
      {:error, %Error{reason: :node_down}} ->
        deploy_on(nodes, name, code, opts, done)

      error ->
        for {node, _version} <- done, do: Remote.call(node, :back, [name], :infinity)
        error
    end
  end

  @doc "Back to the version before, on all nodes that have the name; the version's number on each."
  @spec rollback(Deploy.name()) :: %{node() => {:ok, pos_integer()} | {:error, Exception.t()}}
  def rollback(name), do: Map.new(nodes(), &{&1, Remote.call(&1, :back, [name], :infinity)})

  @doc "The nodes of the cluster that are known to be there, this one among them."
  @spec nodes() :: [node()]
  def nodes, do: Nodes.all()

  @doc "What is known of each node: its `:names` with their versions, its `:load`, and `:delay`, µs that it takes to answer beside its work."
  @spec info() :: %{node() => map()}
  def info, do: Nodes.info()

  @doc """
  Tells the others that this node goes, hands its guests with keys over, and waits until the calls of other nodes have ended, so
  many ms. Stopping the application does it by itself.
  """
  @spec drain(timeout()) :: :ok | {:error, Exception.t()}
  def drain(timeout \\ 5_000), do: Members.drain(timeout)
end
