defmodule Wasmex.SocketGuests do
  @moduledoc "The guests under test/guests/sockets, run and talked to."

  import ExUnit.Assertions

  alias Wasmex.{Client, Program}

  @patience 60_000

  @guests "test/guests/sockets"

  @doc "The path of a guest; a large one is packed in the tree, and unpacked beside what is built."
  def path(name) do
    file = "#{@guests}/#{name}.wasm"
    if File.exists?(file), do: file, else: unpacked(file <> ".gz")
  end

  defp unpacked(packed) do
    bytes = File.read!(packed)
    file = Path.join(Mix.Project.build_path(), "socket_guest_#{:erlang.crc32(bytes)}.wasm")

    # Tests run side by side: whoever comes first puts it there whole.
    unless File.exists?(file) do
      part = "#{file}.#{System.unique_integer([:positive])}"
      File.write!(part, :zlib.gunzip(bytes))
      File.rename!(part, file)
    end

    file
  end

  @doc """
  Runs a script of socket calls (`c_script`) to its end: what each line gave. `version` is that of the sockets. `$port`
  and the like in the lines are `vars`.
  """
  def script(version, lines, opts \\ []) do
    {:ok, run} = Wasmex.run(path("c_script/script_#{version}"), lines, opts)
    assert run.status == 0, run.stderr
    run.stdout |> String.split("\n", trim: true) |> Enum.map(&outcome/1)
  end

  defp outcome(line), do: line |> String.split(" -> ", parts: 2) |> List.last()

  @doc "The same script, a line at a time: `say/2` sends one and waits for what it gave."
  def interactive(version, opts \\ []) do
    {:ok, pid} = Program.start_link([program: path("c_script/script_#{version}")] ++ opts)
    pid
  end

  @doc "Sends a line, and returns what it gave."
  def say(pid, line) do
    tell(pid, line)
    hear(pid)
  end

  @doc "Sends a line."
  def tell(pid, line), do: {:ok, _} = Program.write(pid, line <> "\n")

  @doc "What the next line gave."
  def hear(pid, heard \\ nil) do
    case String.split(heard || Process.get({__MODULE__, pid}, ""), "\n", parts: 2) do
      [line, rest] ->
        Process.put({__MODULE__, pid}, rest)
        outcome(line)

      [partial] ->
        hear(pid, partial <> output(pid))
    end
  end

  @doc "What the program prints next."
  def output(pid) do
    receive do
      {^pid, {:data, bytes}} -> bytes
      {^pid, {other, _} = ended} when other in [:error, :exit_status] -> flunk(inspect(ended))
    after
      @patience -> flunk("the guest says nothing")
    end
  end

  @doc "Starts a program, and waits until its output matches: `{pid, what the expression captured}`."
  def start(program, args, expression, opts) do
    {:ok, pid} = Program.start_link([program: path(program), args: args] ++ opts)
    {pid, await_output(pid, expression)}
  end

  @doc "Waits until the program's output matches: what the expression captured."
  def await_output(pid, expression, got \\ "") do
    case Regex.run(expression, got, capture: :all_but_first) do
      nil -> await_output(pid, expression, got <> output(pid))
      captured -> captured
    end
  end

  @doc "Go's net/http server on a port of its own choice: `{pid, port}`."
  def go_server(opts \\ []) do
    opts = Keyword.merge([bind: ["127.0.0.1:0-65535"]], opts)

    {pid, [port]} =
      start("go/program", ["serve", "tcp", "127.0.0.1:0"], ~r/listening on \S+:(\d+)\n/, opts)

    {pid, String.to_integer(port)}
  end

  @doc "A request whose connection is closed after it: its status and body."
  def get(port, target) do
    {status, _headers, body} = Client.get(port, target)
    {status, body}
  end

  @doc "How the program ended."
  def ended(pid) do
    receive do
      {^pid, {:data, _}} -> ended(pid)
      {^pid, {:stderr, _}} -> ended(pid)
      {^pid, {kind, _} = ended} when kind in [:exit_status, :error] -> ended
    after
      @patience -> flunk("the guest does not end")
    end
  end

  @doc "A port of the loopback interface that nobody listens at."
  def free_port(type \\ :gen_tcp)

  def free_port(:gen_tcp) do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  def free_port(:gen_udp) do
    {:ok, socket} = :gen_udp.open(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_udp.close(socket)
    port
  end

  @doc "Connects to the port as soon as somebody listens there."
  def connect(port, opts \\ [], tries \\ 2_000) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false] ++ opts) do
      {:ok, socket} ->
        socket

      {:error, :econnrefused} when tries > 0 ->
        Process.sleep(5)
        connect(port, opts, tries - 1)
    end
  end

  @doc "So many bytes from the socket."
  def recv(socket, count \\ 0) do
    {:ok, bytes} = :gen_tcp.recv(socket, count, @patience)
    bytes
  end
end
