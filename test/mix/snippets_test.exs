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
    "guides/plugins.md" => %{
      "examples/plugins/rust/vowels.wasm" => "examples/plugins/rust/vowels.wasm",
      "examples/plugins/c/shout.wasm" => "examples/plugins/c/shout.wasm"
    }
  }

  # Configuration, output of iex, and parts of modules are not run by themselves.
  @not_run ["config :wasmex", "iex> ", "def project do"]

  defp snippets(file) do
    text = File.read!(Path.join(@root, file))

    for [_, code] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, text),
        not Enum.any?(@not_run, &String.contains?(code, &1)),
        do: code
  end

  defp printed(code),
    do: for([_, line] <- Regex.scan(~r/IO\.(?:puts|inspect)\(.*\)\n# (.*)$/m, code), do: line)

  for file <- Map.keys(@files) do
    test "#{file} can be followed", %{tmp_dir: tmp} do
      file = unquote(file)
      dir = Path.join(tmp, "shop")
      for folder <- ["lib", "data", "native", "priv"], do: File.mkdir_p!(Path.join(dir, folder))
      File.write!(Path.join(dir, "data/in.txt"), "one\ntwo\nthree\nfour\n")

      for {to, from} <- @files[file] do
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

      snippets = snippets(file)
      assert snippets != []

      File.write!(Path.join(dir, "all.exs"), """
      {:ok, _} = Application.ensure_all_started(:wasmex)
      #{Enum.join(snippets, "\n")}
      IO.puts("to the end")
      """)

      env = [
        {"ERL_LIBS", Path.dirname(Application.app_dir(:wasmex))},
        {"MIX_ENV", "dev"},
        {"MIX_EXS", nil}
      ]

      {output, status} =
        System.cmd("mix", ["run", "all.exs"], cd: dir, env: env, stderr_to_stdout: true)

      assert status == 0, output
      assert output =~ "to the end"
      for line <- Enum.flat_map(snippets, &printed/1), do: assert(output =~ line)
    end
  end
end
