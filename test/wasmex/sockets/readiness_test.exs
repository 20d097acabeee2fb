defmodule Wasmex.Sockets.ReadinessTest do
  # Waiting for sockets: what the system said once must not be taken for what is so now.
  use ExUnit.Case, async: true

  @script "test/guests/sockets/c_script/script_v2.wasm"

  defp script(lines, opts) do
    {:ok, run} = Wasmex.run(@script, lines, opts)
    assert run.status == 0, run.stderr
    run.stdout |> String.split("\n", trim: true) |> Enum.map(&List.last(String.split(&1, " -> ")))
  end

  test "a socket that hung up before it was connected is waited for afterwards" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)

    lines = [
      "open l inet stream",
      # Not connected: as the system has it, that is a hang-up.
      "poll 100 l:r",
      "bind l 127.0.0.1 0",
      "listen l",
      "poll 20 l:r",
      "poll 20 l:r",
      "open c inet stream",
      "poll 100 c:r c:w",
      "connect c 127.0.0.1 1",
      "poll 100 c:w",
      "open d inet stream",
      "poll 100 d:w",
      "connect d 127.0.0.1 #{port}",
      "poll 20 d:r",
      "poll 20 d:r",
      "poll 20 d:w"
    ]

    outcomes = script(lines, bind: ["127.0.0.1"], dial: ["127.0.0.1"])

    assert ["ok", "ok 1 l:r" <> _, "ok", "ok", "ok 1 clock", "ok 1 clock", "ok" | rest] = outcomes
    assert ["ok 2 c:r" <> _, "connrefused", "ok 1 c:w" <> _ | rest] = rest
    assert ["ok", "ok 1 d:w" <> _, "ok", "ok 1 clock", "ok 1 clock", "ok 1 d:w"] = rest
  end

  test "a guest that waits holds no thread, and others go on" do
    {:ok, listener} = Wasmex.Socket.listen(:pipe)

    pids =
      for _ <- 1..20 do
        {:ok, pid} =
          Wasmex.Program.start_link(
            program: @script,
            args: ["poll 600000 3:r"],
            listen: [listener]
          )

        pid
      end

    # While they wait, this one runs.
    assert ["ok 1 clock"] = script(["poll 10 3:r"], listen: ["tcp://127.0.0.1:0"])
    Enum.each(pids, &Wasmex.Program.stop/1)
  end
end
