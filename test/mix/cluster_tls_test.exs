defmodule Wasmex.ClusterTLSTest do
  # The section on TLS of guides/scale.md, as its reader runs it: certificates, two nodes, a call across them; and nodes
  # that must not get in. `mix test --only package`.
  use ExUnit.Case, async: true

  @moduletag :package
  @moduletag :tmp_dir
  @moduletag timeout: :infinity

  @tag skip: if(System.find_executable("openssl") == nil, do: "no openssl")
  test "nodes with certificates of the cluster connect, others do not", %{tmp_dir: dir} do
    assert :ok = Wasmex.Peers.distributed()

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Shop.MixProject do
      use Mix.Project
      def project, do: [app: :shop, version: "0.1.0", prune_code_paths: false]
      def application, do: [extra_applications: [:logger, :wasmex]]
    end
    """)

    [certificates, node, start] =
      for [_, block] <- Regex.scan(~r/```sh\n(.*?)```/s, File.read!("guides/scale.md")), do: block

    # In the folder of another cluster with the same cookie: its certificate, and none.
    others = ~S"""
    mkdir other && cd other
    """

    connect = ~S"""
    try="IO.inspect({:connected, Node.connect(:a@localhost)})"
    elixir --sname c@localhost --erl "$tls $PWD/b.conf" -e "$try"
    elixir --sname d@localhost -e "$try"
    """

    script = [
      "set -eu\ntrap 'kill %1' EXIT\n",
      certificates,
      node,
      start,
      others,
      certificates,
      connect
    ]

    File.write!(Path.join(dir, "all.sh"), script)
    {output, 0} = System.cmd("bash", ["all.sh"], cd: dir, env: env(), stderr_to_stdout: true)
    [_, expected] = Regex.run(~r/^# (.*)\n\z/m, start)
    assert output =~ "\n#{expected}\n"

    assert Regex.scan(~r/\{:connected, \w+\}/, output) == [
             ["{:connected, false}"],
             ["{:connected, false}"]
           ]
  end

  # The compiled library instead of a dependency.
  defp env do
    library = [File.cwd!(), "_build", to_string(Mix.env()), "lib/wasmex/ebin"] |> Path.join()

    [
      {"ELIXIR_ERL_OPTIONS", "#{System.get_env("ELIXIR_ERL_OPTIONS")} -pa #{library}"},
      {"MIX_ENV", nil}
    ]
  end
end
