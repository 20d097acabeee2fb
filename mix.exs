defmodule Wasmex.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :wasmex,
      version: @version,
      elixir: "~> 1.14",
      description: "Runs WebAssembly inside the BEAM, on wasmtime",
      elixirc_paths: elixirc_paths(Mix.env()),
      # Ours is a module of this project: it can only run after :elixir has compiled it.
      compilers: Mix.compilers() ++ [:wasmex_nif],
      start_permanent: Mix.env() == :prod,
      aliases: [check: &check/1],
      package: package(),
      docs: docs(),
      # Not tests of ExUnit: scripts run them. Elixir before 1.19 knows no such key.
      test_ignore_filters: [
        &String.starts_with?(&1, [
          "test/conformance/",
          "test/fuzz/",
          "test/hostile/",
          "test/model/",
          "test/stress/soak"
        ])
      ],
      deps: []
    ]
  end

  def application do
    [
      mod: {Wasmex.Application, []},
      extra_applications: applications(Mix.env())
    ]
  end

  # Servers and clients of tests.
  defp applications(:test), do: [:inets, :ssl | applications(nil)]

  defp applications(_env),
    do: [:logger, :crypto, :public_key, iex: :optional, ex_unit: :optional]

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # An alias and not a task in lib/: every task there is also a task of the projects that use us.
  defp check(args) do
    case System.cmd(Path.expand("script/check", __DIR__), args, into: IO.stream()) do
      {_output, 0} -> :ok
      {_output, status} -> exit({:shutdown, status})
    end
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{"WebAssembly" => "https://webassembly.org", "wasmtime" => "https://wasmtime.dev"},
      # Cargo wants all members of its workspace.
      files:
        ~w(lib priv/templates native bench/baseline test/fuzz/oracle priv/native/.gitkeep Cargo.toml Cargo.lock
                mix.exs .formatter.exs README.md guides CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE)
    ]
  end

  # For ex_doc, where it is installed.
  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras:
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] ++
          Path.wildcard("guides/*.{md,livemd}"),
      groups_for_extras: [Guides: ~r"guides/"],
      groups_for_modules: [
        Programs: [~r"^Wasmex.(Program|Run|Trace|Profile)$"],
        Components: [~r"^Wasmex.(Component|Components|WIT|Wave)"],
        WASI: [~r"^Wasmex.(Wasi|Pipe)"],
        HTTP: [~r"^Wasmex.(HTTP|Plug)"],
        "Plug-ins": [~r"^Wasmex.Plugin"],
        Scale: [~r"^Wasmex.(Pool|Code|Deploy|Cluster|Snapshot)"],
        Errors: [~r"^Wasmex.(Error|Trap|Exit)$"],
        Core:
          ~r"^Wasmex(.(Engine|EngineConfig|Module|Store|StoreLimits|StoreOrCaller|Instance|Memory|Table|Global|Func|Tag|Linker|Template|Reference|Wat))?$"
      ]
    ]
  end
end
