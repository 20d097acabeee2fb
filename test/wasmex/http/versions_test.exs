defmodule Wasmex.HTTP.VersionsTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Client, Deploy, Guest}
  alias Wasmex.HTTP.Server

  @moduletag :capture_log
  @moduletag :tmp_dir

  # Prints the text, or traps.
  defp program(text, trap?) do
    ~s|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
         (memory (export "memory") 1) (data (i32.const 8) "#{text}")
         (func (export "_start") #{if trap?, do: "unreachable"}
           (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const #{byte_size(text)}))
           (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))|
  end

  defp serve(dir, text, opts \\ []) do
    write(dir, text)
    server = start_supervised!({Server, [dir: dir, port: 0] ++ opts})
    {server, Server.port(server), Server.deployed_as(server, "f")}
  end

  defp write(dir, text, trap? \\ false),
    do: File.write!(Path.join(dir, "f.wat"), program(text, trap?))

  defp changed(server, dir, text, trap? \\ false) do
    write(dir, text, trap?)
    Server.refresh(server)
  end

  defp get(port), do: port |> Client.get("/f") |> then(&{elem(&1, 0), elem(&1, 2)})

  test "a changed file is the next version, and there is a way back", %{tmp_dir: dir} do
    {server, port, name} = serve(dir, "one")
    assert get(port) == {200, "one"}
    changed(server, dir, "two")
    assert get(port) == {200, "two"}
    assert {:ok, [%{version: 2, percent: 100, calls: 1, errors: 0}]} = Deploy.versions(name)
    assert Deploy.rollback(name) == {:ok, 3}
    assert get(port) == {200, "one"}
    # The file has not changed since.
    Server.refresh(server)
    assert get(port) == {200, "one"}
    changed(server, dir, "three")
    assert get(port) == {200, "three"}
    whats = for event <- elem(Deploy.history(name), 1), do: {event.version, event.what}
    assert whats == [{4, :deployed}, {2, :rolled_back}, {2, :deployed}, {1, :deployed}]
  end

  test "a canary gets its part of the requests until it is promoted", %{tmp_dir: dir} do
    {server, port, name} = serve(dir, "one", deploy: [canary: 50])
    changed(server, dir, "two")
    got = Enum.frequencies(for _ <- 1..100, do: get(port))
    assert got[{200, "one"}] in 20..80
    assert got[{200, "one"}] + got[{200, "two"}] == 100
    assert {_, _, json} = Client.get(port, "/")
    assert json =~ ~s|"percent": 50|
    assert {200, _, html} = Client.request(port, "GET", "/", [{"Accept", "text/html"}], "")
    assert html =~ "2 (50 %), 1 (50 %)"
    assert Deploy.promote(name) == {:ok, 2}
    assert Enum.uniq(for _ <- 1..20, do: get(port)) == [{200, "two"}]
  end

  test "a version that fails goes away by itself", %{tmp_dir: dir} do
    settings = %{"f" => [deploy: [rollback: [errors: 0.5, calls: 5]]]}
    {server, port, name} = serve(dir, "one", functions: settings)
    changed(server, dir, "two", true)
    for _ <- 1..5, do: assert({500, _} = get(port))
    Guest.wait_until(fn -> get(port) == {200, "one"} end)
    assert {:ok, [%{what: :rolled_back, why: why} | _]} = Deploy.history(name)
    # One more call may have failed before the rollback.
    assert why =~ ~r/^(\d+) of \1 calls failed$/
  end

  test "names go with their files and with the server", %{tmp_dir: dir} do
    {server, port, name} = serve(dir, "one")
    assert name in Deploy.names()
    File.rm!(Path.join(dir, "f.wat"))
    Server.refresh(server)
    Guest.wait_until(fn -> name not in Deploy.names() end)
    assert {404, _} = get(port)
    changed(server, dir, "two")
    assert get(port) == {200, "two"}
    stop_supervised!(Server)
    Guest.wait_until(fn -> name not in Deploy.names() end)
  end

  test "wrong settings are named", %{tmp_dir: dir} do
    for opts <- [[deploy: [size: 3]], [functions: %{"f" => [deploy: [canary: 0]]}]] do
      assert_raise ArgumentError, ~r/canary/, fn ->
        Server.start_link([dir: dir, port: 0] ++ opts)
      end
    end
  end

  test "a folder of more files than compiles may wait", %{tmp_dir: dir} do
    names = for n <- 1..300, do: "f#{n}"
    for name <- names, do: File.write!(Path.join(dir, name <> ".wat"), program(name, false))
    server = start_supervised!({Server, dir: dir, port: 0})

    for name <- names,
        do: assert({:ok, [%{version: 1}]} = Deploy.versions(Server.deployed_as(server, name)))
  end
end
