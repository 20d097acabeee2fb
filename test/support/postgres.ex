defmodule Wasmex.Postgres do
  @moduledoc "A PostgreSQL server of a test's own, from Debian's package: a directory, a port and a socket that nobody else uses."

  @patience 60_000

  @doc "Where the server's programs are, or nil."
  def bin do
    ["/usr/lib/postgresql/*/bin" | List.wrap(pg_config())]
    |> Enum.flat_map(&Path.wildcard/1)
    |> Enum.filter(&File.exists?(Path.join(&1, "initdb")))
    |> List.last()
  end

  defp pg_config do
    with path when path != nil <- System.find_executable("pg_config"),
         {dir, 0} <- System.cmd(path, ["--bindir"], stderr_to_stdout: true),
         do: String.trim(dir),
         else: (_ -> nil)
  end

  @doc "Why there can be no server here, or nil."
  def missing do
    cond do
      bin() == nil ->
        "no PostgreSQL here (apt-get install postgresql)"

      root?() and user() == nil ->
        "PostgreSQL does not run as root, and there is no user postgres"

      true ->
        nil
    end
  end

  @doc "Starts a server: `%{port: port, dir: dir}`; `stop/1` ends it. Its user is `guest`, with the password `secret`."
  def start do
    dir =
      Path.join(
        System.tmp_dir!(),
        "wasmex-pg-#{System.pid()}-#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(dir)
    if root?(), do: {_, 0} = System.cmd("chown", [user(), dir])
    File.write!(dir <> ".password", "secret")
    File.chmod!(dir <> ".password", 0o644)
    data = Path.join(dir, "data")
    auth = ["--auth=scram-sha-256", "--pwfile=#{dir}.password", "--username=guest"]
    run!("initdb", ["-D", data, "-N", "-E", "UTF8", "--locale=C" | auth])
    port = Wasmex.SocketGuests.free_port()
    address = "-c listen_addresses=127.0.0.1 -c port=#{port} -c unix_socket_directories=#{dir}"
    options = "#{address} -c fsync=off -c client_connection_check_interval=100"

    run!("pg_ctl", [
      "-D",
      data,
      "-w",
      "-t",
      "60",
      "-l",
      Path.join(dir, "log"),
      "-o",
      options,
      "start"
    ])

    %{port: port, dir: dir}
  end

  @doc "Ends the server and removes what it wrote."
  def stop(%{dir: dir}) do
    run!("pg_ctl", ["-D", Path.join(dir, "data"), "-m", "immediate", "-w", "stop"])
    File.rm_rf!(dir)
    File.rm!(dir <> ".password")
  end

  # The server refuses to run as root. Its output goes to a file: what is left running would hold a pipe open.
  defp run!(program, args) do
    log = Path.join(System.tmp_dir!(), "wasmex-pg-#{System.unique_integer([:positive])}.log")
    as = if root?(), do: ["runuser", "-u", user(), "--"], else: []
    command = ["sh", "-c", ~s|log=$1; shift; "$@" >"$log" 2>&1 </dev/null|, "sh", log]
    [path | args] = command ++ as ++ [Path.join(bin(), program) | args]
    # A sanitizer is not for it.
    options = [cd: "/", env: [{"LD_PRELOAD", nil}]]
    task = Task.async(fn -> System.cmd(path, args, options) end)
    {_, status} = Task.await(task, @patience * 2)
    said = File.read!(log)
    File.rm!(log)
    if status != 0, do: raise("#{program}: #{said}")
    :ok
  end

  defp root?, do: match?({"0\n", 0}, System.cmd("id", ["-u"]))

  defp user,
    do: if(match?({_, 0}, System.cmd("id", ["postgres"], stderr_to_stdout: true)), do: "postgres")
end
