# Runs the hosts of bench/hosts in turns and reports their medians; started by bench/peers.
Code.require_file("hosts/report.exs", __DIR__)

defmodule Bench.Peers do
  @moduledoc "Every round runs every host once, in another order, so that a disturbance affects all of them."

  alias Bench.Peers.Report

  def run do
    make_guests()
    quick? = System.get_env("QUICK") != nil
    rounds = if quick?, do: 1, else: 7
    hosts = hosts()
    before = share()
    results = for round <- 1..rounds, host <- rotate(hosts, round), do: {host.name, host(host)}
    figures = Enum.group_by(results, &elem(&1, 0), &elem(&1, 1))
    hosts = for host <- hosts, do: Map.put(host, :figures, medians(figures[host.name]))
    Report.finish(hosts, min(before, share()), quick?)
  end

  defp make_guests do
    for {wat, variable} <- [{"guest", "GUEST"}, {"plugin", "PLUGIN"}] do
      {:ok, wasm} = Wasmex.Wat.to_wasm(File.read!("bench/hosts/#{wat}.wat"))
      File.write!(System.fetch_env!(variable), wasm)
    end
  end

  defp hosts do
    peers = System.fetch_env!("PEERS")
    python = Path.join(peers, "venv/bin/python")
    port = ["run", "--no-compile", "bench/hosts/port.exs"]

    [
      %{name: "Wasmex", command: ["mix", "run", "--no-compile", "bench/hosts/wasmex.exs"]},
      %{name: "plain Rust", command: [System.fetch_env!("BASELINE"), "--peers"]},
      %{
        name: "wazero",
        command: [Path.join(peers, "wazero-host")],
        env: [{"WAZERO_VERSION", wazero(peers)}]
      },
      %{name: "Node", command: ["node", "--no-warnings", "--expose-gc", "bench/hosts/node.mjs"]},
      %{name: "wasmtime-py", command: [python, "bench/hosts/wasmtime_host.py"]},
      %{name: "extism", command: [python, "bench/hosts/extism_host.py"]},
      %{name: "C by a port", command: ["mix" | port], env: native(peers, "c", cc())},
      %{name: "Go by a port", command: ["mix" | port], env: native(peers, "go", go())}
    ]
  end

  defp native(peers, language, version) do
    [
      {"NATIVE", Path.join(peers, "native-#{language}")},
      {"NATIVE_PROGRAM", Path.join(peers, "program-#{language}")},
      {"NATIVE_VERSION", version}
    ]
  end

  defp cc, do: version("cc", ["-dumpfullversion"], ~r/()([\d.]+)/)
  defp go, do: version("go", ["version"], ~r/()go([\d.]+)/)

  defp wazero(peers) do
    case File.read(Path.join(peers, "wazero-host.version")) do
      {:ok, version} -> String.trim(version)
      {:error, _} -> ""
    end
  end

  defp version(command, args, pattern) do
    with path when path != nil <- System.find_executable(command),
         {out, 0} <- System.cmd(path, args, stderr_to_stdout: true),
         [_, name, number] <- Regex.run(pattern, out),
         do: String.trim("#{name} #{number}"),
         else: (_ -> "")
  end

  defp rotate(hosts, round) do
    {first, last} = Enum.split(hosts, rem(round - 1, length(hosts)))
    last ++ first
  end

  # The works of one host with their figures, and its version. An empty map if it is not here.
  defp host(%{command: [command | args]} = host) do
    IO.puts(:stderr, "==> #{host.name}")
    env = Map.get(host, :env, [])
    native = for {"NATIVE", path} <- env, do: path

    with path when path != nil <- System.find_executable(command),
         true <- Enum.all?(native, &File.exists?/1),
         {out, 0} <- System.cmd(path, args, env: env) do
      for line <- String.split(out, "\n"),
          [work, figure] <- [String.split(line, "\t")],
          into: %{},
          do: {work, figure}
    else
      _ -> %{}
    end
  end

  # work => {median, spread}: half the distance between the quartiles, by the median.
  defp medians(rounds) do
    for work <- Report.works(),
        values = values(rounds, work),
        values != [],
        into: %{version: version(rounds)} do
      [low, median, high] =
        for part <- [1, 2, 3], do: Enum.at(values, div((length(values) - 1) * part, 4))

      {work, {median, (high - low) / 2 / median}}
    end
  end

  defp values(rounds, work) do
    # At least something: resident memory can shrink meanwhile.
    for(%{^work => figure} <- rounds, do: max(elem(Float.parse(figure), 0), 0.0001))
    |> Enum.sort()
  end

  defp version(rounds), do: Enum.find_value(rounds, &Map.get(&1, "version"))

  # The share of a core that a loop of plain Rust gets.
  defp share do
    {json, 0} = System.cmd(System.fetch_env!("BASELINE"), ["--share"])
    [_, share] = Regex.run(~r/"share": ([\d.]+)/, json)
    String.to_float(share)
  end
end

Bench.Peers.run()
