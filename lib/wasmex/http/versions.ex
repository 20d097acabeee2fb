defmodule Wasmex.HTTP.Versions do
  @moduledoc false
  # The functions of a server as deploys (`Wasmex.Deploy`): a changed file is a new version beside the old one, with
  # canaries and rollbacks as set. Requests read the table of routes and involve no process.

  alias Wasmex.{Code, Deploy}
  alias Wasmex.Deploy.Routes
  alias Wasmex.HTTP.{OtherNodes, Function, Worker}

  @typedoc "For counting a request: the process of the name, and the counts of the version."
  @type counted :: {pid(), :counters.counters_ref()} | nil

  @doc "The deployed name of a function. The scope is that of its server, `:cluster` for all nodes of one."
  @spec name(term(), String.t()) :: Deploy.name()
  def name(scope, function), do: {:http, scope, function}

  @doc """
  Deploys a loaded function under its name, unless it is deployed already; it ends with the owner. In a cluster it is
  also deployed on the other nodes, which keep their version unless the file has changed here.
  """
  @spec deploy(map(), Function.t(), binary(), Function.settings(), keyword(), boolean()) ::
          :ok | {:error, Exception.t()}
  def deploy(%{scope: scope, owner: owner}, function, bytes, settings, opts, changed?) do
    name = name(scope, function.name)
    code = Code.of_file(function.name, bytes)
    opts = [as: :http, options: Map.to_list(settings)] ++ pool(function) ++ opts
    replace? = changed? or scope != :cluster

    worker = {Worker, function}

    case Deploy.deploy_absent(name, code, [owner: owner] ++ opts, replace?, worker) do
      {:ok, :deployed} when scope == :cluster -> OtherNodes.deploy(name, code, opts, replace?)
      {:ok, _} -> :ok
      error -> error
    end
  end

  # A pool keeps reusable instances; others are created per request, limited by the gate.
  defp pool(%{reuse: 0}), do: [size: 64]
  defp pool(%{reuse: reuse}), do: [size: reuse, policy: {:reuse, :infinity}]

  @doc "Undeploys the function, in a separate process: running requests may finish."
  @spec undeploy(term(), String.t()) :: pid()
  def undeploy(scope, function) do
    name = name(scope, function)

    spawn(fn ->
      Deploy.undeploy(name)
      if scope == :cluster, do: OtherNodes.undeploy(name)
    end)
  end

  @doc "The function of the version for this request."
  @spec find(term(), String.t()) :: {:ok, Function.t(), counted()} | :error
  def find(scope, name) do
    with {:ok, route} <- Routes.fetch({:http, scope, name}) do
      {_threshold, _number, _pool, counts, function} = Routes.pick(route)
      {:ok, function, {route.server, counts}}
    end
  end

  @doc "Counts a response for its version. A disconnected client does not count as a failure."
  @spec count(counted(), pos_integer()) :: term()
  def count(nil, _status), do: :ok
  def count(_counted, 499), do: :ok
  def count({server, counts}, status), do: Routes.count(server, counts, status >= 500)

  @doc "The versions that get requests, newest first, for display."
  @spec list(term(), String.t()) :: [map()]
  def list(scope, name) do
    case Deploy.versions(name(scope, name)) do
      {:ok, versions} ->
        for version <- versions do
          version
          |> Map.take([:version, :percent, :calls, :errors])
          |> Map.put(:code, Code.short(version.code))
        end

      {:error, _} ->
        []
    end
  end
end
