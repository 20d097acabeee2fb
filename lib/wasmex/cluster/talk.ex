defmodule Wasmex.Cluster.Talk do
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
      Node.spawn_monitor(node, Remote, :talk, [function, args, left, self(), to, tag])

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
  def next(talk) do
    talk |> paid() |> await()
  catch
    kind, reason ->
      close(talk)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  # The last element was used: there is room for another one.
  defp paid(%{owed: nil} = talk), do: talk

  defp paid(%{owed: {pid, size}, tag: tag} = talk) do
    send(pid, {tag, {:taken, size}})
    %{talk | owed: nil}
  end

  defp await(%{tag: tag, monitor: monitor, interrupt: interrupt} = talk) do
    receive do
      {^tag, :out, pid, size, element} ->
        {:out, element, %{talk | owed: {pid, size}}}

      {^tag, :more, pid} ->
        talk |> more(pid) |> await()

      {^tag, :over, result, worked} ->
        Nodes.answered(
          talk.node,
          max(System.monotonic_time(:microsecond) - talk.began - worked, 0)
        )

        over(talk, result)

      {^tag, :raised, kind, reason, stack} ->
        close(talk)
        :erlang.raise(kind, reason, stack)

      {:DOWN, ^monitor, :process, _pid, reason} ->
        over(talk, Remote.lost(talk.node, reason))

      ^interrupt when interrupt != nil ->
        close(talk)
        :interrupted
    after
      Remote.patience(Timeout.left(talk.deadline)) ->
        over(talk, {:error, %Error{reason: :timeout, details: %{timeout: talk.left}}})
    end
  end

  defp over(talk, result) do
    close(talk)
    {:over, result}
  end

  defp more(%{body: nil, tag: tag} = talk, pid) do
    send(pid, {tag, :ended})
    talk
  end

  defp more(%{body: body, tag: tag} = talk, pid) do
    case body.({:cont, nil}) do
      {:suspended, {:ok, element}, rest} ->
        send(pid, {tag, {:element, element}})
        %{talk | body: rest}

      # Some streams end with their last element.
      {_done_or_halted, {:ok, element}} ->
        send(pid, {tag, {:element, element}})
        %{talk | body: nil}

      {_done_or_halted, nil} ->
        more(%{talk | body: nil}, pid)
    end
  end

  @doc "Ends the other side and the body; no more messages arrive afterwards."
  @spec close(t()) :: :ok
  def close(%__MODULE__{tag: tag} = talk) do
    Process.exit(talk.pid, :kill)
    Process.demonitor(talk.monitor, [:flush])
    :erlang.unalias(talk.alias)
    flush(tag)
    if talk.body, do: talk.body.({:halt, nil})
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
