defmodule Wasmex.Proxy do
  @moduledoc """
  nginx and HAProxy in front of a server of this machine, where they are installed (`script/bootstrap tools`).

  Each says what it has forwarded: `requests/1` are the targets in its log.
  """

  @enforce_keys [:name, :port, :log, :os_pid, :process]
  defstruct [:name, :port, :log, :os_pid, :process]

  @kinds [:nginx, :nginx_streaming, :nginx_lenient, :haproxy, :haproxy_lenient]

  @doc "The kinds of proxies: as they come, and as lenient as they can be made."
  def kinds, do: @kinds

  @doc "The program of a kind, or nil."
  def program(kind) do
    name = if kind in [:haproxy, :haproxy_lenient], do: "haproxy", else: "nginx"
    System.find_executable(name) || Enum.find(["/usr/sbin/#{name}"], &File.exists?/1)
  end

  @doc "Starts one with its files in `dir`, in front of `port`; it ends with the process that started it."
  def start(kind, dir, port) do
    free = free_port()
    dir = Path.expand(Path.join(dir, Atom.to_string(kind)))
    File.mkdir_p!(dir)
    File.chmod!(dir, 0o777)
    config = Path.join(dir, "config")
    log = Path.join(dir, "log")
    File.write!(config, config(kind, dir, free, port))
    File.touch!(log)
    args = if program(kind) =~ "nginx", do: ["-p", dir, "-c", config], else: ["-db", "-f", config]
    test = self()

    # The shell ends the proxy when its input does, which is when this VM or the owner is gone.
    process =
      spawn_link(fn ->
        shell =
          ~s|"$@" > "#{log}.out" 2> "#{log}.err" & pid=$!; echo $pid; read line; kill -TERM $pid; wait|

        args = ["-c", shell, "sh", program(kind) | args]
        port = Port.open({:spawn_executable, "/bin/sh"}, [:binary, line: 100, args: args])
        receive do: ({^port, {:data, {:eol, pid}}} -> send(test, {self(), pid}))
        receive do: (:stop -> Port.close(port))
      end)

    os_pid = receive do: ({^process, pid} -> pid)
    await(free, dir, 500)
    log = if program(kind) =~ "haproxy", do: log <> ".out", else: log
    %__MODULE__{name: kind, port: free, log: log, os_pid: os_pid, process: process}
  end

  @doc "Ends it."
  def stop(proxy) do
    Process.unlink(proxy.process)
    send(proxy.process, :stop)
    :ok
  end

  @doc "The targets of the requests that it has forwarded so far."
  def requests(proxy) do
    for line <- proxy.log |> File.read!() |> String.split("\n"),
        ["forwarded", target] <- [String.split(line, " ")],
        do: String.replace_prefix(target, "http://x", "") |> String.replace_prefix("http://y", "")
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  defp await(_port, dir, 0),
    do: raise("the proxy does not start: #{File.read!(Path.join(dir, "log.err"))}")

  defp await(port, dir, tries) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
      {:ok, socket} ->
        :gen_tcp.close(socket)

      {:error, _} ->
        Process.sleep(20)
        await(port, dir, tries - 1)
    end
  end

  # Connections to the server are kept and shared: what was left on one would be the next client's.
  defp config(kind, dir, listen, port) when kind in [:nginx, :nginx_streaming, :nginx_lenient] do
    buffering = if kind == :nginx, do: "on", else: "off"

    lenient =
      if kind == :nginx_lenient,
        do: "ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;",
        else: ""

    temporary =
      for name <- ~w(client_body proxy fastcgi uwsgi scgi),
          do: "#{name}_temp_path #{dir}/#{name};\n"

    """
    daemon off;
    worker_processes 1;
    pid #{dir}/pid;
    error_log #{dir}/error.log;
    events { worker_connections 256; }
    http {
      #{temporary}
      map $upstream_addr $told { "" ""; "-" ""; default "forwarded $request_uri"; }
      log_format told escape=none "$told";
      access_log #{dir}/log told;
      upstream server { server 127.0.0.1:#{port}; keepalive 2; }
      server {
        listen 127.0.0.1:#{listen};
        #{lenient}
        client_max_body_size 2g;
        proxy_request_buffering #{buffering};
        location / { proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection ""; }
      }
    }
    """
  end

  defp config(kind, _dir, listen, port) do
    lenient = if kind == :haproxy_lenient, do: "option accept-invalid-http-request", else: ""

    """
    global
      log stdout format raw local0
      maxconn 256
    defaults
      mode http
      log global
      timeout connect 5s
      timeout client 20s
      timeout server 20s
      timeout http-request 5s
      http-reuse always
    frontend front
      bind 127.0.0.1:#{listen}
      #{lenient}
      http-request capture req.hdr(host) len 10
      http-request set-var(txn.target) url
      log-format "%[var(txn.told)] %[var(txn.target)]"
      http-request set-var(txn.told) str(forwarded)
      default_backend server
    backend server
      server one 127.0.0.1:#{port}
    """
  end
end
