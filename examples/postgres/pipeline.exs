# Rows of PostgreSQL through a plug-in, a batch at a time: once as a Stream over a table, once by a worker that PostgreSQL
# notifies. examples/postgres/run starts the server and this.
#
# The plug-in runs here, in the application: the database sees queries and nothing else. Postgrex has the same calls under other
# names, where a project has it.

defmodule Database do
  @moduledoc """
  As much of PostgreSQL's protocol (version 3, "simple query") as this needs, over a socket of the file system.

  Debian's driver for Erlang, p1_pgsql, has neither such sockets nor notifications. With Postgrex these are `Postgrex.query!/3`,
  `Postgrex.stream/3` and `Postgrex.Notifications`.
  """

  def connect!(path) do
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, active: false])
    start = <<3::16, 0::16, "user", 0, "demo", 0, "database", 0, "demo", 0, 0>>
    :ok = :gen_tcp.send(socket, [<<byte_size(start) + 4::32>>, start])
    _ready = answers(socket)
    socket
  end

  @doc "The rows of a query, each a list of texts."
  def query!(socket, sql) do
    :ok = :gen_tcp.send(socket, <<?Q, byte_size(sql) + 5::32, sql::binary, 0>>)
    messages = answers(socket)
    for {?E, error} <- messages, do: raise("#{sql}: #{inspect(error)}")
    for {?D, <<_count::16, columns::binary>>} <- messages, do: columns(columns)
  end

  # All until the server is ready for the next.
  defp answers(socket) do
    case receive_message(socket) do
      {?Z, _status} -> []
      message -> [message | answers(socket)]
    end
  end

  @doc "Waits for the next message of the server."
  def receive_message(socket) do
    {:ok, <<type, length::32>>} = :gen_tcp.recv(socket, 5)
    {:ok, body} = if length == 4, do: {:ok, ""}, else: :gen_tcp.recv(socket, length - 4)
    {type, body}
  end

  defp columns(<<-1::signed-32, rest::binary>>), do: [nil | columns(rest)]
  defp columns(<<size::32, text::binary-size(size), rest::binary>>), do: [text | columns(rest)]
  defp columns(""), do: []

  def quoted(text), do: "'" <> String.replace(text, "'", "''") <> "'"

  @doc "The rows of a query in batches, by a cursor: no more than one batch is in memory."
  def stream(socket, sql, batch) do
    Stream.resource(
      fn -> query!(socket, "BEGIN; DECLARE rows CURSOR FOR #{sql}") end,
      fn state ->
        case query!(socket, "FETCH #{batch} FROM rows") do
          [] -> {:halt, state}
          rows -> {[rows], state}
        end
      end,
      fn _ -> query!(socket, "COMMIT") end
    )
  end
end

defmodule Shout do
  @moduledoc "The plug-in, for many texts at once: it gets lines and gives lines."

  def batch(pool, texts) do
    with {:ok, output} <- Wasmex.Plugin.Pool.call(pool, "shout", Enum.join(texts, "\n")),
         do: {:ok, String.split(output, "\n")}
  end
end

defmodule Worker do
  @moduledoc "Waits for `NOTIFY jobs`, and does what is to be done then, a batch at a time."
  use GenServer

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @impl true
  def init(opts) do
    # One connection listens, the other asks: who listens does nothing else.
    listener = spawn_listener(opts[:socket], self())

    state = %{
      db: Database.connect!(opts[:socket]),
      pool: opts[:pool],
      report: opts[:report],
      listener: listener
    }

    {:ok, state}
  end

  defp spawn_listener(path, worker) do
    spawn_link(fn ->
      socket = Database.connect!(path)
      Database.query!(socket, "LISTEN jobs")
      send(worker, :jobs)
      listen(socket, worker)
    end)
  end

  defp listen(socket, worker) do
    # A is a notification.
    with {?A, _pid_channel_and_payload} <- Database.receive_message(socket),
         do: send(worker, :jobs)

    listen(socket, worker)
  end

  @impl true
  def handle_info(:jobs, state), do: {:noreply, work(state)}
  def handle_info(_other, state), do: {:noreply, state}

  # SKIP LOCKED: several workers share the table.
  defp work(%{db: db} = state) do
    Database.query!(db, "BEGIN")

    case Database.query!(
           db,
           "SELECT id, body FROM jobs WHERE result IS NULL ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED"
         ) do
      [] ->
        Database.query!(db, "COMMIT")
        state

      rows ->
        {:ok, results} = Shout.batch(state.pool, for([_id, body] <- rows, do: body))

        for {[id, _body], result} <- Enum.zip(rows, results),
            do:
              Database.query!(
                db,
                "UPDATE jobs SET result = #{Database.quoted(result)} WHERE id = #{id}"
              )

        Database.query!(db, "COMMIT")
        send(state.report, {:done, length(rows)})
        work(state)
    end
  end
end

[socket] = System.argv()
db = Database.connect!(socket)

{:ok, pool} =
  Wasmex.Plugin.Pool.start_link(source: "examples/plugins/c/shout.wasm", policy: {:reuse, 1_000})

Database.query!(db, "CREATE TABLE messages (id serial PRIMARY KEY, body text)")

Database.query!(
  db,
  "INSERT INTO messages (body) SELECT 'message ' || n FROM generate_series(1, 1000) AS n"
)

shouted =
  db
  |> Database.stream("SELECT body FROM messages ORDER BY id", 100)
  |> Task.async_stream(fn rows -> Shout.batch(pool, for([body] <- rows, do: body)) end)
  |> Enum.flat_map(fn {:ok, {:ok, texts}} -> texts end)

IO.puts("a stream: #{length(shouted)} rows, the last of them #{List.last(shouted)}")

Database.query!(db, "CREATE TABLE jobs (id serial PRIMARY KEY, body text, result text)")
{:ok, _worker} = Worker.start_link(socket: socket, pool: pool, report: self())

for n <- 1..3 do
  Database.query!(db, "INSERT INTO jobs (body) VALUES ('job #{n}')")
  Database.query!(db, "NOTIFY jobs")

  receive do: ({:done, count} -> IO.puts("a worker: #{count} row")),
          after: (10_000 -> raise "the worker was not notified")
end

[[result]] = Database.query!(db, "SELECT result FROM jobs WHERE id = 3")
IO.puts("a worker: job 3 is #{result}")
