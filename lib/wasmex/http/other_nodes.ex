defmodule Wasmex.HTTP.OtherNodes do
  @moduledoc false
  # The functions of a server on other nodes (`cluster: true`): they are deployed there too, and a request runs there if
  # this node has no room for it, or does not have the function. Bodies are sent in parts (`Wasmex.Cluster.StreamedCall`).

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Nodes, Remote, StreamedCall}
  alias Wasmex.{Code, Deploy, Error}
  alias Wasmex.HTTP.{Forwarded, Request, Response}

  require Logger

  # The timeout of deploying a function on a node in ms, including compiling.
  @patience 60_000

  @doc "Deploys a function on the other nodes, one after the other; without `replace?` only where it is missing."
  @spec deploy(Deploy.name(), Code.t(), keyword(), boolean()) :: :ok
  def deploy(name, code, opts, replace?) do
    for node <- Nodes.all() -- [node()] do
      deadline = Timeout.deadline(@patience)

      with {:error, error} <-
             Remote.call(node, :deploy_absent, [name, code, opts, replace?], deadline) do
        Logger.error("#{inspect(name)} was not deployed on #{node}: #{Exception.message(error)}")
      end
    end

    :ok
  end

  @spec undeploy(Deploy.name()) :: :ok
  def undeploy(name) do
    for node <- Nodes.all() -- [node()],
        do: Remote.call(node, :undeploy, [name], Timeout.deadline(@patience))

    :ok
  end

  @doc "Another node for a request, or nil."
  @spec node_for(Deploy.name()) :: node() | nil
  def node_for(name), do: Nodes.pick(name, [node()])

  @doc "Runs a request there, with the arguments and the result of `Wasmex.HTTP.Exchange.run/5`."
  @spec run(node(), Deploy.name(), Request.t(), fun(), term(), term()) :: {Response.t(), term()}
  def run(node, name, %Request{} = request, reply, state, closed) do
    body = StreamedCall.parts(request.body)
    args = [name, %{request | body: nil}]

    node
    |> StreamedCall.open({Forwarded, :serve}, args, body, :infinity, closed)
    |> take(reply, state, false)
  end

  defp take(call, reply, state, begun?) do
    case StreamedCall.next(call) do
      {:out, event, call} ->
        case written(call, reply, event, state) do
          {:gone, state} ->
            StreamedCall.close(call)
            {gone(), state}

          state ->
            take(call, reply, state, true)
        end

      {:over, {:ok, %Response{} = response}} ->
        {response, state}

      {:over, {:error, error}} ->
        failed(error, reply, state, begun?)

      :interrupted ->
        {gone(), state}
    end
  end

  defp written(call, reply, event, state) do
    reply.(event, state)
  catch
    kind, reason ->
      StreamedCall.close(call)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp gone, do: %Response{status: 499, error: %Error{reason: :cancelled, details: %{}}}

  # A response that has begun can only be aborted.
  defp failed(error, reply, state, begun?) do
    status = status(error)
    plain = Response.plain(status, "#{status} #{Response.reason(status)}")

    event = if begun?, do: :broken, else: {:whole, status, plain.headers, plain.body}

    case reply.(event, state) do
      {:gone, state} -> {%{plain | error: error}, state}
      state -> {%{plain | error: error}, state}
    end
  end

  defp status(%Error{reason: :timeout}), do: 503
  defp status(%Error{reason: :overloaded}), do: 503
  defp status(%Error{reason: :not_deployed}), do: 404
  defp status(_error), do: 502
end
