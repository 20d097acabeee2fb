defmodule Wasmex.Socket do
  @moduledoc """
  An in-memory connection to a guest: the guest has an ordinary socket, and Elixir has this.

  A guest with `listen: [{:pipe, name}]`, or with a listener from `listen(:pipe)`, accepts the connections of
  `connect/2`. There is no port and no address, so no one else can connect.

  The functions are those of `:gen_tcp` in passive mode, and so are their errors: `{:error, :closed}`, `{:error,
  :timeout}`, or a POSIX name. It is based on OTP's `:socket`.

  ## Example

      {:ok, listener} = Wasmex.Socket.listen(:pipe)
      {:ok, _pid} = Wasmex.Program.start_link(program: "server.wasm", listen: [listener])
      {:ok, socket} = Wasmex.Socket.connect(listener)
      :ok = Wasmex.Socket.send(socket, "GET / HTTP/1.0\\r\\n\\r\\n")
      {:ok, response} = Wasmex.Socket.recv(socket)

  ## Back-pressure

  Each direction buffers about 200 KiB, the system's default for unix sockets. Then `send/3` waits until the guest
  reads, and a writing guest waits for `recv/3`.

  ## Lifetime

  It is closed with its owner, which is the process that connected; `controlling_process/2` changes the owner. When the
  guest's store ends, its connections are closed; `recv/3` returns the remaining data and then `{:error, :closed}`.
  """

  alias Wasmex.{Error, Native, Options}
  alias Wasmex.Options.Type.Listen
  alias Wasmex.Socket.{Listener, Names}

  @enforce_keys [:socket]
  defstruct [:socket]

  @type t :: %__MODULE__{socket: :socket.socket()}
  @type reason :: :closed | :timeout | :inet.posix()

  @doc """
  Opens a listener for guests: `"tcp://127.0.0.1:8080"` (with port 0 the system chooses one, see `port/1`),
  `"unix:///run/app.sock"`, or `:pipe` for connections from Elixir.

      iex> {:ok, listener} = Wasmex.Socket.listen("tcp://127.0.0.1:0")
      iex> Wasmex.Socket.port(listener) in 1..65_535
      true
  """
  @spec listen(String.t() | :pipe) :: {:ok, Listener.t()} | {:error, Error.t()}
  def listen(:pipe), do: listener(Native.socket_pipe(false))

  def listen(address) do
    with true <- is_binary(address) and Listen.opens?(address),
         {:ok, _} <- Listen.cast(address) do
      listener(Native.socket_listen(Listen.native(address)))
    else
      _ ->
        Options.misuse!(
          ~s|"tcp://127.0.0.1:8080", "unix:///run/app.sock" or :pipe for Wasmex.Socket.listen/1|,
          address
        )
    end
  end

  defp listener({:ok, resource}), do: {:ok, %Listener{resource: resource}}
  defp listener({:error, native}), do: {:error, Error.from_native(native)}

  @doc """
  The address of a listener: `"tcp://127.0.0.1:8080"`, `"unix:///run/app.sock"`, or `nil` for an in-memory listener.

      iex> {:ok, listener} = Wasmex.Socket.listen(:pipe)
      iex> Wasmex.Socket.address(listener)
      nil
  """
  @spec address(Listener.t()) :: String.t() | nil
  def address(%Listener{resource: resource}) do
    case Native.socket_address(resource) do
      {:tcp, ip, port} -> if ip =~ ":", do: "tcp://[#{ip}]:#{port}", else: "tcp://#{ip}:#{port}"
      {:unix, path} -> "unix://#{path}"
      nil -> nil
    end
  end

  @doc "The port of a TCP listener, otherwise `nil`."
  @spec port(Listener.t()) :: :inet.port_number() | nil
  def port(%Listener{resource: resource}) do
    case Native.socket_address(resource) do
      {:tcp, _ip, port} -> port
      _ -> nil
    end
  end

  @doc """
  Connects to a guest's in-memory listener: from `listen(:pipe)`, or `{:pipe, name}`, which is waited for if no guest
  has it yet.

  `:timeout` in milliseconds includes that wait and the wait for a listener with too many connections. The error
  `:econnrefused` means that the guest has ended or has closed the listener.

      iex> Wasmex.Socket.connect({:pipe, "nobody's"}, timeout: 0)
      {:error, :timeout}
  """
  @spec connect(Listener.t() | {:pipe, term()}, keyword()) :: {:ok, t()} | {:error, reason()}
  def connect(listener, opts \\ []) do
    %{timeout: timeout} = Options.new!(opts, options())
    attempt(listener, deadline(timeout))
  end

  @connect [timeout: [type: :timeout, default: 5_000, doc: "timeout in ms"]]
  @options Options.table(@connect, "Wasmex.Socket.connect/2")
  defp options, do: @options

  defp attempt(listener, deadline) do
    with {:wait, reason} <- connected(find(listener)),
         :ok <- pause(deadline, reason),
         do: attempt(listener, deadline)
  end

  defp find(%Listener{resource: resource}), do: resource
  defp find({:pipe, name}), do: Names.find(name)

  defp find(other),
    do: Options.misuse!("a %Wasmex.Socket.Listener{} or {:pipe, name} to connect to", other)

  defp connected(nil), do: {:wait, :timeout}

  defp connected(resource) do
    case Native.socket_connect(resource) do
      {:ok, connection, fd} -> adopt(connection, fd)
      {:error, :eagain} -> {:wait, :timeout}
      {:error, :epipe} -> {:error, :econnrefused}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc false
  # OTP gets its own descriptor; if this process is killed here, ours is closed with its handle.
  @spec adopt(reference(), integer()) :: {:ok, t()} | {:error, reason()}
  def adopt(connection, fd) do
    opened = :socket.open(fd, %{dup: true})
    Native.socket_end_close(connection)
    with {:ok, socket} <- opened, do: {:ok, %__MODULE__{socket: socket}}
  end

  # There is no notification for a registered name or a free place in the queue.
  @pause 5

  defp pause(deadline, reason) do
    if left(deadline) == 0 do
      {:error, reason}
    else
      Process.sleep(@pause)
      :ok
    end
  end

  defp deadline(:infinity), do: :infinity
  defp deadline(ms), do: System.monotonic_time(:millisecond) + ms

  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)

  @doc "Sends all data. Waits while the guest does not read."
  @spec send(t(), iodata(), timeout()) :: :ok | {:error, reason()}
  def send(%__MODULE__{socket: socket}, data, timeout \\ 5_000) do
    case :socket.send(socket, IO.iodata_to_binary(data), timeout) do
      :ok -> :ok
      {:ok, _rest} -> {:error, :timeout}
      {:error, reason} -> {:error, reason(reason)}
    end
  end

  @doc """
  Receives this many bytes, or with 0 the available ones, at least one. `{:error, :closed}` once the guest has closed or
  shut down its side and all data is read.
  """
  @spec recv(t(), non_neg_integer(), timeout()) :: {:ok, binary()} | {:error, reason()}
  def recv(%__MODULE__{socket: socket}, length \\ 0, timeout \\ 5_000) do
    case :socket.recv(socket, length, timeout) do
      {:ok, data} -> {:ok, data}
      {:error, reason} -> {:error, reason(reason)}
    end
  end

  # `{reason, data so far}`, and synonymous names.
  defp reason({reason, _data}), do: reason(reason)
  defp reason(:epipe), do: :closed
  defp reason(:econnreset), do: :closed
  defp reason(reason), do: reason

  @doc "Shuts down one direction, or both: the guest reads the data in transit and then the end."
  @spec shutdown(t(), :read | :write | :read_write) :: :ok | {:error, reason()}
  def shutdown(%__MODULE__{socket: socket}, how) when how in [:read, :write, :read_write],
    do: :socket.shutdown(socket, how)

  @doc "Closes the connection."
  @spec close(t()) :: :ok
  def close(%__MODULE__{socket: socket}) do
    _ = :socket.close(socket)
    :ok
  end

  @doc "Makes another process the owner of the connection. Only the owner may call it."
  @spec controlling_process(t(), pid()) :: :ok | {:error, reason()}
  def controlling_process(%__MODULE__{socket: socket}, pid) when is_pid(pid),
    do: :socket.setopt(socket, {:otp, :controlling_process}, pid)
end
