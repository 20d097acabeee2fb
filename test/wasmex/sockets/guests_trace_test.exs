defmodule Wasmex.Sockets.GuestsTraceTest do
  # What wasi-go's wasirun traced of guests, beside what we trace of them: the same calls in the same order, on the same
  # descriptors, with the same results and numbers of bytes.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  @names %{
    "ArgsGet" => "args_get",
    "ArgsSizesGet" => "args_sizes_get",
    "FDClose" => "fd_close",
    "FDRead" => "fd_read",
    "FDStatGet" => "fd_fdstat_get",
    "FDStatSetFlags" => "fd_fdstat_set_flags",
    "FDWrite" => "fd_write",
    "PollOneoff" => "poll_oneoff",
    "SockAccept" => "sock_accept",
    "SockBind" => "sock_bind",
    "SockConnect" => "sock_connect",
    "SockListen" => "sock_listen",
    "SockLocalAddress" => "sock_getlocaladdr",
    "SockOpen" => "sock_open",
    "SockRecv" => "sock_recv",
    "SockRemoteAddress" => "sock_getpeeraddr",
    "SockSend" => "sock_send",
    "SockSetOpt" => "sock_setsockopt",
    "SockShutdown" => "sock_shutdown"
  }

  # Only what has to do with sockets: printing is the guest's own, and so are its clocks.
  @sockets Map.values(@names) -- ["args_get", "args_sizes_get"]

  # ---- the reference ----

  defp reference(name) do
    "test/guests/sockets/traces/#{name}.trace"
    |> File.stream!()
    |> Enum.flat_map(fn line ->
      [_, call, args, result] = Regex.run(~r/^(\w+)\((.*?)\) => (.*)/, line)
      name = @names[call]
      if name in @sockets, do: [{name, fd(args), result(result), value(name, result)}], else: []
    end)
    |> Enum.reject(&output?/1)
  end

  defp fd(args) do
    case Integer.parse(args) do
      {fd, _} -> fd
      :error -> nil
    end
  end

  defp result(text) do
    case Regex.run(~r/^E[A-Z]+|\(E[A-Z]+\)/, text) do
      nil ->
        "ok"

      [name] ->
        name
        |> String.trim_leading("(")
        |> String.trim_trailing(")")
        |> String.trim_leading("E")
        |> String.downcase()
    end
  end

  defp value(name, result) when name in ["sock_open", "sock_accept", "fd_write", "sock_send"],
    do: fd(result)

  defp value("fd_read", "[" <> bytes), do: fd(bytes)
  defp value("poll_oneoff", events), do: length(Regex.scan(~r/\{EventType/, events))
  defp value(_, _), do: nil

  # ---- ours ----

  defp ours(events) do
    events
    |> Enum.filter(&(&1.name in @sockets))
    |> Enum.map(&{&1.name, &1.args[:fd], "#{&1.result}", our_value(&1)})
    |> Enum.reject(&output?/1)
  end

  defp our_value(%{name: name, args: args}) when name in ["fd_write", "sock_send"], do: size(args)

  defp our_value(%{result: :ok, name: "fd_read", outputs: outputs}), do: size(outputs)

  defp our_value(%{result: :ok, name: name, outputs: outputs})
       when name in ["sock_open", "sock_accept"],
       do: outputs[:fd]

  defp our_value(%{result: :ok, name: "poll_oneoff", outputs: outputs}), do: outputs[:events]
  defp our_value(_), do: nil

  defp size(values) do
    with {:bytes, size, _} <- values[:data], do: size, else: (_ -> 0)
  end

  defp output?({_, fd, _, _}), do: fd in [0, 1, 2]

  defp traced(program, args, opts, talk) do
    test = self()
    # Clients come when the guest waits for them.
    accepts = :counters.new(1, [])

    trace = fn event ->
      if event.name == "sock_accept", do: :counters.add(accepts, 1, 1)
      send(test, {:traced, event})
    end

    task = Task.async(fn -> Wasmex.run(path(program), args, [trace: trace] ++ opts) end)
    talk.(fn -> Wasmex.Guest.wait_until(fn -> :counters.get(accepts, 1) > 0 end) end)
    {task, fn -> collect() end}
  end

  defp collect do
    receive do
      {:traced, event} -> [event | collect()]
    after
      0 -> []
    end
  end

  # What the reference's client did: a pause between its steps, so that the guest has waited before each.
  defp talk(port, text, answer) do
    socket = connect(port)
    Process.sleep(200)
    :ok = :gen_tcp.send(socket, text)
    assert byte_size(recv(socket, answer)) == answer
    Process.sleep(200)
    :gen_tcp.close(socket)
    Process.sleep(200)
  end

  test "C, with one poll for everything" do
    port = free_port()

    {task, events} =
      traced("c_echo/echo", ["#{port}", "2"], [bind: ["127.0.0.1:#{port}"]], fn _ ->
        for _ <- 1..2, do: talk(port, "hi", 2)
      end)

    assert {:ok, %{status: 0}} = Task.await(task, 60_000)
    assert ours(events.()) == reference("c_echo")
  end

  test "Rust, a server that blocks" do
    port = free_port()

    {task, events} =
      traced(
        "rust/rust",
        ["serve", "127.0.0.1:#{port}", "1"],
        [bind: ["127.0.0.1:#{port}"]],
        fn _ ->
          talk(port, "hello-rust", 10)
        end
      )

    assert {:ok, %{status: 0}} = Task.await(task, 60_000)

    # The reference refuses to shut a listener down, Linux does not. It is the last that is done to it.
    listener = &match?({"sock_shutdown", 3, _, _}, &1)
    [ours, reference] = [ours(events.()), reference("rust_serve")]
    assert Enum.reject(ours, listener) == Enum.reject(reference, listener)
  end

  test "Rust, a client" do
    options = [:binary, active: false, ip: {127, 0, 0, 1}, exit_on_close: false]
    {:ok, listener} = :gen_tcp.listen(0, options)
    {:ok, port} = :inet.port(listener)

    {task, events} =
      traced(
        "rust/rust",
        ["dial", "127.0.0.1:#{port}", "hello-rust"],
        [dial: ["127.0.0.1:#{port}"]],
        fn _ ->
          {:ok, socket} = :gen_tcp.accept(listener, 60_000)
          assert recv(socket, 10) == "hello-rust"
          {:error, :closed} = :gen_tcp.recv(socket, 0, 60_000)
          :ok = :gen_tcp.send(socket, "hello-rust")
          Process.sleep(200)
          :gen_tcp.close(socket)
        end
      )

    assert {:ok, %{status: 0}} = Task.await(task, 60_000)
    assert ours(events.()) == reference("rust_dial")
  end

  test "Go's net/http, but for how often its scheduler polls" do
    port = free_port()
    quiet = fn calls -> Enum.reject(calls, &(elem(&1, 0) == "poll_oneoff")) end

    {task, events} =
      traced(
        "go/program",
        ["serve", "tcp", "127.0.0.1:#{port}"],
        [bind: ["127.0.0.1:#{port}"]],
        fn waits ->
          waits.()
          talk(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 122)
          :gen_tcp.send(connect(port), "GET /quit HTTP/1.1\r\nHost: x\r\n\r\n")
        end
      )

    assert {:ok, %{status: 0}} = Task.await(task, 60_000)
    calls = quiet.(ours(events.()))
    closed = Enum.find_index(calls, &(elem(&1, 0) == "fd_close"))
    assert Enum.take(calls, closed + 1) == quiet.(reference("go_serve"))
  end
end
