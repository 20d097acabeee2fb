defmodule Wasmex.SnippetsTest do
  # The snippets of the README and the guides, one after the other in a fresh project, in which the files lie that the text
  # has the reader build. A line `# …` after a call that prints is what it prints.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag :tmp_dir
  @moduletag timeout: :infinity
  @root Path.expand("../..", __DIR__)

  # What the reader has built by then, made of the guests here.
  @files %{
    "guides/cheatsheet.md" => %{},
    "guides/coming-from-wasmex.md" => %{},
    "guides/go-through-pipes.livemd" => %{
      "main.wasm" => "test/guests/go_greet/go_greet.wasm"
    },
    "README.md" => %{
      "native/main.wasm" => "test/guests/go_greet/go_greet.wasm",
      "tool.wasm" => "test/guests/rust_wasi/rust_wasi.wasm",
      "lib.wasm" => "test/guests/rust_reactor/rust_reactor.wasm",
      "priv/texts.wasm" => "test/guests/component_js/component_js.wasm",
      "vowels.wasm" => "examples/plugins/rust/vowels.wasm"
    },
    # A component in JavaScript stands in for the one in Python, which is 18 MB.
    "guides/components.md" => %{
      "priv/python.wasm" => "test/guests/component_js/component_js.wasm"
    },
    "guides/plugins.md" => %{
      "examples/plugins/rust/vowels.wasm" => "examples/plugins/rust/vowels.wasm",
      "examples/plugins/c/shout.wasm" => "examples/plugins/c/shout.wasm"
    },
    "guides/sockets.md" => %{
      "server.wasm" => "test/guests/sockets/go/listener.wasm",
      "client.wasm" => "test/guests/rust_wasi/rust_wasi.wasm",
      "app.wasm" => "test/guests/rust_wasi/rust_wasi.wasm"
    },
    "guides/untrusted-code.md" => %{
      "examples/interpreters/javascript/javascript.wasm" =>
        "examples/interpreters/javascript/javascript.wasm"
    }
  }

  # Configuration, output of iex, and parts of modules are not run by themselves.
  @not_run ["config :wasmex", "iex> ", "def project do", "def deps"]

  # What a guest here cannot do, and what it does instead: the stand-in has fewer functions.
  @instead %{
    "guides/components.md" => [
      {~r/^\{:ok, \{:some, .*summarize.*$/m, ""},
      {~r/^\{:ok, \{:error, "Expecting property name" <> _\}\} = Texts.Texts.json_keys/m,
       "{:ok, {:error, _}} = Texts.Texts.keys"}
    ],
    # Programs that serve for ever.
    "guides/sockets.md" => [
      {~r/^Wasmex\.run\("server.wasm", .*$/m, "spawn(fn -> \\0 end)"}
    ],
    # RustPython takes minutes to build; script/notebooks runs Python.
    "guides/untrusted-code.md" => [{~r/^python = .*/ms, ""}]
  }

  defp snippets(file, language \\ "elixir") do
    text = File.read!(Path.join(@root, file))

    for [_, code] <- Regex.scan(~r/^```#{language}\n(.*?)^```/ms, text),
        not Enum.any?(@not_run, &String.contains?(code, &1)) do
      Enum.reduce(Map.get(@instead, file, []), code, fn {pattern, text}, code ->
        String.replace(code, pattern, text)
      end)
    end
  end

  defp printed(code),
    do:
      for(
        [_, line] <- Regex.scan(~r/(?:IO\.(?:puts|inspect)\(.*\)|\.run\(pid\))\n# (.*)$/m, code),
        do: line
      )

  for file <- Map.keys(@files) do
    test "#{file} can be followed", %{tmp_dir: tmp} do
      follow(unquote(file), project(tmp, @files[unquote(file)]))
    end
  end

  @python System.get_env("WASMEX_PYTHON")
  @tag :python
  @tag skip: if(@python == nil, do: "script/notebooks fetches Python and runs it")
  test "guides/untrusted-python.livemd can be followed", %{tmp_dir: tmp} do
    dir = project(tmp, %{})
    File.cp!(@python, Path.join(dir, "python.wasm"))
    follow("guides/untrusted-python.livemd", dir)
    assert File.read!(Path.join(dir, "profile.svg")) =~ "function "
  end

  test "every file with snippets is here, or in a test of its own" do
    others = ["guides/performance.md", "guides/scale.md", "guides/untrusted-python.livemd"]

    files =
      for pattern <- ["*.md", "guides/*.{md,livemd}", "examples/**/*.md", "bench/*.md"],
          file <- Path.wildcard(pattern),
          snippets(file) != [],
          do: file

    assert Enum.sort(files) == Enum.sort(Map.keys(@files) ++ others)
  end

  defp project(tmp, files) do
    dir = Path.join(tmp, "shop")
    for folder <- ["lib", "data", "native", "priv"], do: File.mkdir_p!(Path.join(dir, folder))
    File.write!(Path.join(dir, "data/in.txt"), "one\ntwo\nthree\nfour\n")

    for {to, from} <- files do
      File.mkdir_p!(Path.dirname(Path.join(dir, to)))
      File.cp!(Path.join(@root, from), Path.join(dir, to))
    end

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Shop.MixProject do
      use Mix.Project
      def project, do: [app: :shop, version: "0.1.0", prune_code_paths: false]
      def application, do: [extra_applications: [:logger, :crypto, :inets, :ssl]]
    end
    """)

    dir
  end

  defp follow(file, dir) do
    snippets = snippets(file)
    assert snippets != []

    # What a shell does once, to prepare files.
    for code <- snippets(file, "sh"),
        "mix wasmex.compile " <> args <- String.split(code, "\n"),
        not String.contains?(args, "~"),
        do: assert({_, 0} = mix(dir, ["wasmex.compile" | String.split(args)]))

    File.write!(Path.join(dir, "all.exs"), """
    {:ok, _} = Application.ensure_all_started(:wasmex)
    #{snippets |> Enum.join("\n") |> ports()}
    IO.puts("to the end")
    """)

    {output, status} = mix(dir, ["run", "all.exs"])
    assert status == 0, output
    assert output =~ "to the end"
    for line <- Enum.flat_map(snippets, &printed/1), do: assert(output =~ line)
  end

  # Others may have 8080.
  defp ports(code) do
    {:ok, socket} = :gen_tcp.listen(0, [])
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    String.replace(code, "8080", "#{port}")
  end

  defp mix(dir, args) do
    env = [
      {"ERL_LIBS", Path.dirname(Application.app_dir(:wasmex))},
      {"MIX_ENV", "dev"},
      {"MIX_EXS", nil}
    ]

    System.cmd("mix", args, cd: dir, env: env, stderr_to_stdout: true)
  end
end
