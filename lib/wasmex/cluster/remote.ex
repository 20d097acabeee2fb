defmodule Wasmex.Cluster.Remote do
  @moduledoc false
  # Both sides of a call on another node, over `:erpc`. It adds that the remaining time is sent along, and that the
  # guest ends when the calling process does.

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Callers, Inlet, Keeper, Keyed, Nodes, Outlet}
  alias Wasmex.{Deploy, Error, Run}
  alias Wasmex.Deploy.Routes

  # Tolerance in ms for a late result: the other node enforces the timeout itself.
  @grace 500

  @typedoc "A name, a function, its params, and options of `Wasmex.Deploy.call/4`."
  @type request :: {term(), term(), term(), keyword()}

  @doc "The number of calls that run here for other nodes."
  @spec running() :: non_neg_integer()
  def running, do: Callers.count()

  @doc "Runs a request on this node."
  @spec here(request(), integer() | :infinity) :: {:ok, term()} | {:error, Exception.t()}
  def here({name, function, params, opts}, deadline),
    do: Deploy.call(name, function, params, [timeout: Timeout.left(deadline)] ++ opts)

  @doc "Runs one of the functions below on another node (or this one), within the deadline."
  @spec call(node(), atom(), [term()], integer() | :infinity) :: term()
  def call(node, what, args, deadline) do
    left = if deadline == :infinity, do: :infinity, else: Timeout.left(deadline)
    began = System.monotonic_time(:microsecond)
    Nodes.sent(node)
    request = :erpc.send_request(node, __MODULE__, :serve, [what, args, left, self()])

    try do
      {result, worked} = :erpc.receive_response(request, patience(left))
      Nodes.answered(node, System.monotonic_time(:microsecond) - began - worked)
      result
    catch
      :error, {:erpc, :noconnection} ->
        down(node, "the connection was lost")

      :error, {:erpc, :timeout} ->
        timeout(left)

      # It does not have the library, or another version.
      :error, {:exception, :undef, [{module, _, _, _} | _]} ->
        down(node, "#{inspect(module)} is not available there")

      :error, {:exception, reason, stack} ->
        :erlang.raise(:error, reason, stack)

      :exit, {:signal, reason} ->
        down(node, "the call was ended there: #{inspect(reason)}")

      :exit, {:exception, reason} ->
        down(node, "it failed there: #{inspect(reason, limit: 10)}")
    end
  end

  # Concurrent calls of `each/4`.
  @concurrent 32

  @doc "The results of several nodes, called at the same time."
  @spec each([node()], atom(), [term()], integer() | :infinity) :: [term()]
  def each([], _what, _args, _deadline), do: []
  def each([node], what, args, deadline), do: [call(node, what, args, deadline)]

  def each(nodes, what, args, deadline) do
    call = &call(&1, what, args, deadline)
    opts = [max_concurrency: @concurrent, ordered: false, timeout: :infinity]
    for {:ok, result} <- Task.async_stream(nodes, call, opts), do: result
  end

  @doc "How long to wait for a result with this timeout."
  @spec patience(timeout()) :: timeout()
  def patience(:infinity), do: :infinity
  def patience(left), do: Timeout.capped(left + @grace)

  @doc "The error when a process on another node ended without a result."
  @spec lost(node(), term()) :: {:error, Error.t()}
  def lost(node, :noconnection), do: down(node, "the connection was lost")

  def lost(node, reason),
    do: down(node, "the call was ended there: #{inspect(reason, limit: 10)}")

  @doc "On the other node, in a separate process: runs a function with bodies sent as messages, see `Wasmex.Cluster.StreamedCall`."
  @spec streamed({module(), atom()}, [term()], timeout(), pid(), reference(), reference()) ::
          term()
  def streamed({module, function}, args, left, caller, to, tag) do
    began = System.monotonic_time(:microsecond)
    Callers.enter(caller)
    result = apply(module, function, args ++ [Timeout.deadline(left)])
    Callers.leave(caller)
    send(to, {tag, :over, result, System.monotonic_time(:microsecond) - began})
  catch
    kind, reason -> send(to, {tag, :raised, kind, reason, __STACKTRACE__})
  end

  defp down(node, why) do
    message = "#{node}: #{why}; it is unknown how far the call came"
    {:error, %Error{reason: :node_down, details: %{node: node, message: message}}}
  end

  defp timeout(left),
    do: {:error, %Error{reason: :timeout, details: %{timeout: left}}}

  @doc "On the other node: the result, and its duration in µs."
  @spec serve(atom(), [term()], timeout(), pid()) :: {term(), non_neg_integer()}
  def serve(what, args, left, caller) do
    began = System.monotonic_time(:microsecond)
    # The guest is stopped within a slice when this process is killed.
    Callers.enter(caller)
    result = run(what, args, Timeout.deadline(left))
    Callers.leave(caller)
    {result, System.monotonic_time(:microsecond) - began}
  end

  defp run(:run, [request], deadline), do: here(request, deadline)

  defp run(:deploy_absent, [name, code, opts, replace?], _deadline),
    do: Deploy.deploy_absent(name, code, opts, replace?)

  defp run(:undeploy, [name], _deadline), do: Deploy.undeploy(name)

  defp run(:keyed, [request, key], deadline), do: Keyed.here(request, key, deadline)
  defp run(:take, [name, key, taker], _deadline), do: Keeper.take(name, key, taker)
  defp run(:pull, [name, key], _deadline), do: Keeper.pull(name, key)
  defp run(:deploy, [name, code, opts], _deadline), do: Deploy.deploy(name, code, opts)
  defp run(:back, [name], _deadline), do: Deploy.rollback(name)

  # With the options as passed.
  defp run(:deploys, [], _deadline),
    do:
      {:ok,
       for(
         name <- Routes.names(),
         Routes.shared?(name),
         {:ok, code, opts} <- [Deploy.deployed(name)],
         do: {name, code, opts}
       )}

  @doc "Runs a program, with bodies for input and output."
  @spec program(request(), Inlet.t(), Outlet.t(), integer() | :infinity) ::
          {:ok, term()} | {:error, Exception.t()}
  def program({name, function, params, opts}, inlet, outlet, deadline) do
    request = {name, function, params, [stdin: inlet, stdout: outlet] ++ opts}
    request |> here(deadline) |> without_output()
  end

  # Its output was already sent.
  defp without_output({:ok, %Run{} = run}), do: {:ok, %{run | stdout: nil}}

  defp without_output({:error, %{run: %Run{} = run} = error}),
    do: {:error, %{error | run: %{run | stdout: nil}}}

  defp without_output(result), do: result
end
