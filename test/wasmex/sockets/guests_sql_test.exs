defmodule Wasmex.Sockets.GuestsSQLTest do
  # A Go program with database/sql and a pure Go driver against a real PostgreSQL.
  use ExUnit.Case, async: true

  import Wasmex.SocketGuests

  alias Wasmex.{Guest, Postgres}

  @moduletag skip: Postgres.missing()
  @program "go/program"

  setup_all do
    server = Postgres.start()
    on_exit(fn -> Postgres.stop(server) end)

    %{
      server: server,
      dsn: "host=127.0.0.1 port=#{server.port} #{login()}",
      grants: [dial: ["127.0.0.1:#{server.port}"]]
    }
  end

  defp login, do: "user=guest password=secret dbname=postgres sslmode=disable"

  test "tables, parameters, transactions, errors and connections at once", %{
    dsn: dsn,
    grants: grants
  } do
    assert {:ok, run} = Wasmex.run(path(@program), ["sql", dsn], grants)

    assert {run.status, run.stdout} ==
             {0,
              """
              refused: unique_violation
              at once: 8
              apple 0.5
              Birne 1.5
              さくらんぼ 2.5
              100000
              """}
  end

  test "a result of some megabytes", %{dsn: dsn, grants: grants} do
    query = "select i, repeat('x', 100) from generate_series(1, 50000) i"
    assert {:ok, run} = Wasmex.run(path(@program), ["sql", dsn, query], grants)
    lines = String.split(run.stdout, "\n", trim: true)
    assert {length(lines), List.last(lines)} == {50_000, "50000 #{String.duplicate("x", 100)}"}
  end

  test "over the server's unix socket", %{server: server} do
    socket = "#{server.dir}/.s.PGSQL.#{server.port}"
    dsn = "host=#{server.dir} port=#{server.port} #{login()}"

    assert {:ok, run} =
             Wasmex.run(path(@program), ["sql", dsn, "select 6 * 7"], dial: ["unix://#{socket}"])

    assert {run.status, run.stdout} == {0, "42\n"}
  end

  test "a wrong password is the server's error, a server that is not granted the host's", %{
    dsn: dsn,
    grants: grants
  } do
    wrong = String.replace(dsn, "secret", "guess")

    assert {:ok, %{status: 1, stdout: refused}} =
             Wasmex.run(path(@program), ["sql", wrong, "select 1"], grants)

    assert refused =~ "password authentication failed"

    assert {:ok, %{status: 1, stdout: denied}} =
             Wasmex.run(path(@program), ["sql", dsn, "select 1"])

    assert denied =~ "ermission denied"
  end

  test "a program that is stopped in a query leaves no session behind", %{
    dsn: dsn,
    grants: grants
  } do
    assert {:error, %Wasmex.Error{reason: :timeout}} =
             Wasmex.run(
               path(@program),
               ["sql", dsn, "select pg_sleep(3600)"],
               [timeout: 1_000] ++ grants
             )

    count = "select count(*) from pg_stat_activity where query like 'select pg_sleep(36%'"

    Guest.wait_until(fn ->
      {:ok, run} = Wasmex.run(path(@program), ["sql", dsn, count], grants)
      run.stdout == "0\n"
    end)
  end
end
