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
    ] ++ may_be_undefined()
  end

  def application do
    [
      mod: {Wasmex.Application, []},
      extra_applications: applications(Mix.env())
    ]
  end

  # Modules that are called only where they exist: a project that has them compiled already would get a warning for each
  # call. Only the build uses inets, and starts it itself.
  defp may_be_undefined do
    modules = [
      :httpc,
      :inets,
      Plug.Conn,
      Bandit,
      Bandit.HTTP2.Errors.StreamError,
      ThousandIsland,
      Phoenix.LiveDashboard.PageBuilder
    ]

    if Version.match?(System.version(), ">= 1.20.0-dev", allow_pre: true),
      do: [elixirc_options: [no_warn_undefined: modules]],
      else: [xref: [exclude: modules]]
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

  # For script/docs.
  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras: extras(),
      # Named where it says what is loaded, and hidden.
      skip_code_autolink_to: ["Wasmex.Native"],
      groups_for_extras: [
        "Start here": ~r"guides/(cheatsheet|coming-from|.*livemd)",
        Guides: ~r"guides/",
        "How it works": ~r"lib/|native/",
        Project: ~r"(CHANGELOG|CONTRIBUTING|SECURITY)"
      ],
      groups_for_modules: [
        Components: [~r"^Wasmex.(Component$|Components|WIT$|Wave$)"],
        Programs: [~r"^Wasmex.(Program|Run$)"],
        "WASI and streams": [~r"^Wasmex.(Wasi|Pipe|Socket)"],
        HTTP: [~r"^Wasmex.(HTTP|Plug$)"],
        "Plug-ins": [~r"^Wasmex.(Plugin|JSON)"],
        Scale: [~r"^Wasmex.(Pool|Code|Deploy|Cluster|Snapshot)"],
        "Compiling and limits": [~r"^Wasmex.(Compiler|Cache|Limits|Wat|Inspection)"],
        Observing: [~r"^Wasmex.(Telemetry|Trace|Profile|LiveDashboard)"],
        Testing: [Wasmex.Case],
        Errors: [~r"^Wasmex.(Error|Trap|Exit)$"],
        Core: [~r"^Wasmex"]
      ]
    ]
  end

  # Each needs a name of its own.
  defp extras do
    how =
      for path <- Path.wildcard("{lib,native}/**/README.md") do
        folder =
          path |> Path.dirname() |> String.replace(~r"^lib/wasmex/|wasmex/src/|/wasmex$", "")

        {String.to_atom(path), filename: "how-#{String.replace(folder, "/", "-")}-works"}
      end

    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] ++
      Path.wildcard("guides/*.{md,livemd}") ++ how
  end
end
