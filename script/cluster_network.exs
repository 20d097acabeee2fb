defmodule Proof.Network do
  @moduledoc """
  A switch in user space with delay and loss, for kernels without netem: raw sockets (AF_PACKET) on the ends of the nodes'
  cables, which it takes out of the bridge for as long as it runs.

  Frames keep the kernel's description of their checksums and segments (`PACKET_VNET_HDR`), so the interfaces need no
  other settings.
  """

  @packet 17
  @all_protocols <<0, 3>>
  @sol_packet 263
  @vnet_hdr 15
  @ignore_outgoing 23
  @header 10

  @doc "Forwards frames between these interfaces, each `delay` ms late plus or minus `jitter`; `loss` is the part that is lost."
  def start(interfaces, bridge, delay, jitter, loss) do
    for interface <- interfaces, do: ip(["link", "set", interface, "nomaster"])
    parent = self()

    pid =
      spawn_link(fn ->
        sockets = for interface <- interfaces, do: open(interface)
        switch = self()
        for socket <- sockets, do: spawn_link(fn -> read(socket, switch) end)
        send(parent, {self(), :started})
        forward(%{sockets: sockets, addresses: %{}, delay: delay, jitter: jitter, loss: loss})
      end)

    receive do: ({^pid, :started} -> {pid, interfaces, bridge})
  end

  @doc "Connects the interfaces with the bridge again; how many frames were forwarded, and how many lost."
  def stop({pid, interfaces, bridge}) do
    send(pid, {:stop, self()})
    counts = receive do: ({^pid, counts} -> counts)
    for interface <- interfaces, do: ip(["link", "set", interface, "master", bridge])
    counts
  end

  defp open(interface) do
    {:ok, socket} = :socket.open(@packet, :raw, 0)
    :ok = :socket.setopt_native(socket, {@sol_packet, @vnet_hdr}, <<1::native-32>>)
    :ok = :socket.setopt_native(socket, {@sol_packet, @ignore_outgoing}, <<1::native-32>>)
    index = String.to_integer(String.trim(File.read!("/sys/class/net/#{interface}/ifindex")))
    # The rest of a sockaddr_ll.
    address = <<@all_protocols::binary, index::native-32, 0::96>>
    :ok = :socket.bind(socket, %{family: @packet, addr: address})
    ip(["link", "set", interface, "promisc", "on"])
    socket
  end

  # A segment of the kernel may be as large as 64 KiB.
  defp read(socket, switch) do
    case :socket.recv(socket, 70_000) do
      {:ok, frame} ->
        send(switch, {:frame, socket, frame})
        read(socket, switch)

      # The interface is down.
      {:error, _} ->
        Process.sleep(10)
        read(socket, switch)
    end
  end

  defp forward(state, counts \\ {0, 0})

  defp forward(state, {sent, lost} = counts) do
    receive do
      {:frame, from,
       <<_::binary-size(@header), to::binary-6, source::binary-6, _::binary>> = frame} ->
        state = put_in(state.addresses[source], from)

        if :rand.uniform() < state.loss do
          forward(state, {sent, lost + 1})
        else
          later(state, destinations(state, to, from), frame)
          forward(state, {sent + 1, lost})
        end

      {:send, socket, frame} ->
        :socket.send(socket, frame)
        forward(state, counts)

      {:stop, to} ->
        for socket <- state.sockets, do: :socket.close(socket)
        send(to, {self(), counts})
        Process.unlink(to)
        exit(:shutdown)

      _other ->
        forward(state, counts)
    end
  end

  defp destinations(state, to, from) do
    case state.addresses do
      %{^to => socket} -> [socket]
      _ -> state.sockets -- [from]
    end
  end

  defp later(state, sockets, frame) do
    ms = max(state.delay + round((2 * :rand.uniform() - 1) * state.jitter), 0)
    for socket <- sockets, do: Process.send_after(self(), {:send, socket, frame}, ms)
  end

  defp ip(args), do: {_, 0} = System.cmd("ip", args)
end
