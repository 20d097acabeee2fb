defmodule Wasmex.Cluster.StreamedCall do
  @moduledoc false
  # A call on another node with bodies: this process holds the guest's input and receives its output, an element at a
  # time. Neither node holds more of a body than the parts in transit.
  #
  # The other side is `Wasmex.Cluster.Inlet` and `Wasmex.Cluster.Outlet`, in a process started by
  # `Wasmex.Cluster.Remote`. It ends with this one.

  alias Wasmex.Call.Timeout
  alias Wasmex.Cluster.{Inlet, Nodes, Outlet, Remote}
  alias Wasmex.Error

  # Larger binaries are sent in parts.
  @part 64 * 1024

  @enforce_keys [:node, :pid, :monitor, :alias, :tag, :deadline, :left, :began]
  defstruct [
    :node,
    :pid,
    :monitor,
    :alias,
    :tag,
    :deadline,
    :left,
    :began,
    # The rest of the body: a function as returned by `Enumerable.reduce/3`, or nil.
    :body,
    # A message that ends the call, or nil.
    :interrupt,
    # Who to acknowledge, and how many bytes.
    owed: nil
  ]

  @type t :: %__MODULE__{}
  @type event :: {:out, term(), t()} | {:over, term()} | :interrupted

  @doc """
  Starts a function on a node; an inlet, an outlet and its deadline there are appended to its arguments. The interrupt is a
  message from the user.
  """
  @spec open(node(), {module(), atom()}, [term()], Enumerable.t(), integer() | :infinity, term()) ::
          t()
  def open(node, function, args, body, deadline, interrupt \\ nil) do
    tag = make_ref()
    to = :erlang.alias()
    left = Timeout.left(deadline)
    Nodes.sent(node)
    args = args ++ [%Inlet{to: to, tag: tag}, %Outlet{to: to, tag: tag}]

    {pid, monitor} =
      Node.spawn_monitor(node, Remote, :streamed, [function, args, left, self(), to, tag])

    %__MODULE__{
      node: node,
      pid: pid,
      monitor: monitor,
      alias: to,
      tag: tag,
      deadline: deadline,
      left: left,
      began: System.monotonic_time(:microsecond),
      body: body(body),
      interrupt: interrupt
    }
  end

  defp body(enumerable),
    do: &Enumerable.reduce(enumerable, &1, fn x, _ -> {:suspend, {:ok, x}} end)

  @doc "A body as an Enumerable of parts."
  @spec parts(iodata() | Enumerable.t() | nil) :: Enumerable.t()
  def parts(nil), do: []
  def parts(""), do: []

  def parts(binary) when is_binary(binary) do
    Stream.unfold(binary, fn
      "" -> nil
      <<part::binary-size(@part), rest::binary>> -> {part, rest}
      rest -> {rest, ""}
    end)
  end

  def parts(list) when is_list(list) do
    list |> IO.iodata_to_binary() |> parts()
  rescue
    # A list of elements, one of which may be an error.
    ArgumentError -> list
  end

  # Lines are available without waiting, so send many of them at once.
  def parts(%File.Stream{} = stream) do
    Stream.chunk_while(
      stream,
      {[], 0},
      fn
        bytes, {kept, size} when size + byte_size(bytes) < @part ->
          {:cont, {[kept, bytes], size + byte_size(bytes)}}

        bytes, {kept, _size} ->
          {:cont, IO.iodata_to_binary([kept, bytes]), {[], 0}}
      end,
      fn {kept, _size} -> {:cont, IO.iodata_to_binary(kept), nil} end
    )
  end

  def parts(enumerable), do: Stream.flat_map(enumerable, &element/1)

  defp element(large) when is_binary(large) and byte_size(large) > @part, do: parts(large)
  defp element(element), do: [element]

  @doc """
  Waits for the next element of output, or for the result, and sends the body in the meantime. An exception in the body
  is raised here; `close/1` then ends the other side, as it does when the caller stops reading.
  """
  @spec next(t()) :: event()
  def next(call) do
    call |> paid() |> await()
  catch
    kind, reason ->
      close(call)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  # The last element was used: there is room for another one.
  defp paid(%{owed: nil} = call), do: call

  defp paid(%{owed: {pid, size}, tag: tag} = call) do
    send(pid, {tag, {:taken, size}})
    %{call | owed: nil}
  end

  defp await(%{tag: tag, monitor: monitor, interrupt: interrupt} = call) do
    receive do
      {^tag, :out, pid, size, element} ->
        {:out, element, %{call | owed: {pid, size}}}

      {^tag, :more, pid} ->
        call |> more(pid) |> await()

      {^tag, :over, result, worked} ->
        Nodes.answered(
          call.node,
          max(System.monotonic_time(:microsecond) - call.began - worked, 0)
        )

        over(call, result)

      {^tag, :raised, kind, reason, stack} ->
        close(call)
        :erlang.raise(kind, reason, stack)

      {:DOWN, ^monitor, :process, _pid, reason} ->
        over(call, Remote.lost(call.node, reason))

      ^interrupt when interrupt != nil ->
        close(call)
        :interrupted
    after
      Remote.patience(Timeout.left(call.deadline)) ->
        over(call, {:error, %Error{reason: :timeout, details: %{timeout: call.left}}})
    end
  end

  defp over(call, result) do
    close(call)
    {:over, result}
  end

  defp more(%{body: nil, tag: tag} = call, pid) do
    send(pid, {tag, :ended})
    call
  end

  defp more(%{body: body, tag: tag} = call, pid) do
    case body.({:cont, nil}) do
      {:suspended, {:ok, element}, rest} ->
        send(pid, {tag, {:element, element}})
        %{call | body: rest}

      # Some streams end with their last element.
      {_done_or_halted, {:ok, element}} ->
        send(pid, {tag, {:element, element}})
        %{call | body: nil}

      {_done_or_halted, nil} ->
        more(%{call | body: nil}, pid)
    end
  end

  @doc "Ends the other side and the body; no more messages arrive afterwards."
  @spec close(t()) :: :ok
  def close(%__MODULE__{tag: tag} = call) do
    Process.exit(call.pid, :kill)
    Process.demonitor(call.monitor, [:flush])
    :erlang.unalias(call.alias)
    flush(tag)
    if call.body, do: call.body.({:halt, nil})
    :ok
  end

  defp flush(tag) do
    receive do
      message when is_tuple(message) and elem(message, 0) == tag -> flush(tag)
    after
      0 -> :ok
    end
  end
end
