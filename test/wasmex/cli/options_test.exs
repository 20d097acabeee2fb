defmodule Wasmex.CLI.OptionsTest do
  use ExUnit.Case, async: true

  alias Wasmex.CLI.Options
  alias Wasmex.Quantity

  @options Wasmex.Options.table(
             [
               timeout: [type: :timeout, default: :infinity, doc: "", flag: {:timeout, "2s"}],
               max_memory: [type: {:or, [nil], :bytes}, doc: "", flag: {:max_memory, "64MiB"}],
               env: [type: Wasmex.Options.Type.Env, default: %{}, doc: "", flag: {:env, "A=B"}],
               stats: [type: :boolean, default: false, doc: "", flag: :stats],
               fuel: [type: {:or, [nil], {:integer, 0..1000}}, doc: "", flag: {:fuel, "N"}],
               output: [type: {:or, [nil], :string}, doc: "", flag: {:output, "FILE", :o}],
               level: [
                 type: {:one_of, [:low, :high]},
                 default: :low,
                 doc: "",
                 flag: {:opt_level, "L"}
               ],
               dirs: [type: Wasmex.Options.Type.Dirs, default: [], doc: "", flag: {:dir, "HOST"}],
               hidden: [type: :boolean, default: false, doc: ""]
             ],
             "mix test"
           )

  defp parse(line, opts \\ []), do: Options.parse(String.split(line), @options, opts)

  test "options of every type" do
    assert {:ok, opts, ["file"]} =
             parse("--timeout 2s --max-memory=64MiB --env A=1 --env B=x=y --stats --fuel 10 file")

    assert Enum.sort(opts) == [
             env: [{"A", "1"}, {"B", "x=y"}],
             fuel: 10,
             max_memory: 64 * 1024 * 1024,
             stats: true,
             timeout: 2000
           ]
  end

  test "what follows the first word belongs to the program, with head: true" do
    assert {:ok, [stats: true], ["f", "--fuel", "x", "-v"]} =
             parse("--stats f --fuel x -v", head: true)

    assert {:ok, [fuel: 1], ["f"]} = parse("f --fuel 1")
    assert {:ok, [], ["--fuel"]} = parse("-- --fuel")
    assert {:ok, [output: "x"], []} = parse("-o x")
  end

  test "mistakes name the nearest option, and what is expected" do
    assert {:error, "--timout: unknown option, did you mean --timeout?"} = parse("--timout 2s")
    assert {:error, "--xyz: unknown option; the options are " <> _} = parse("--xyz")
    assert {:error, "-x: unknown option" <> _} = parse("-x")
    assert {:error, "--fuel: missing value"} = parse("--fuel")
    assert {:error, "--fuel: expected a non-negative integer" <> _} = parse("--fuel x")

    assert {:error, "--output: missing value before --fuel" <> _} = parse("--output --fuel 1")

    assert {:ok, [output: "--x"], []} = parse("--output=--x")
    assert {:error, "--timeout: expected a time such as" <> _} = parse("--timeout 2d")
    assert {:error, "--stats: takes no value" <> _} = parse("--stats=1")
    assert {:error, "--env: expected NAME=VALUE" <> _} = parse("--env =1")

    assert {:error, "--fuel: expected nil or an integer from 0 to 1,000, got 1001"} =
             parse("--fuel 1001")

    assert {:error, "--opt-level: expected low or high, got" <> _} = parse("--opt-level mid")

    assert {:error, "--dir: expected a string of UTF-8" <> _} =
             Options.parse(["--dir", <<255>>], @options)

    assert {:error, "--hidden: unknown option" <> _} = parse("--hidden")
  end

  test "values are under the names of their rows, in the form that their options take" do
    assert {:ok, opts, []} = parse("--opt-level high --dir a::/b:ro --dir c")
    assert Enum.sort(opts) == [dirs: [{"/b", {"a", :ro}}, {"c", {"c", :rw}}], level: :high]
  end

  test "help and version are options of every task, and come before mistakes" do
    for word <- ["--help", "-h"] do
      assert {:ok, [help: true], _} = parse("#{word} file")
      assert {:ok, [help: true], _} = parse("--timout 1 #{word}")
    end

    assert {:ok, [version: true], []} = parse("--version")
    assert {:ok, [], ["file", "--help"]} = parse("file --help", head: true)
  end

  test "an option that comes twice: the last, or all where it may be repeated" do
    assert {:ok, [fuel: 2], []} = parse("--fuel 1 --fuel 2")
    assert {:ok, [env: [{"A", "1"}, {"A", "2"}]], []} = parse("--env A=1 --env A=2")
  end

  test "quantities" do
    for {text, ms} <- [
          {"150ms", 150},
          {"2s", 2000},
          {"1.5m", 90_000},
          {"3", 3000},
          {"1h", 3_600_000}
        ],
        do: assert(Quantity.duration(text) == {:ok, ms})

    for {text, bytes} <- [
          {"4096", 4096},
          {"64MiB", 67_108_864},
          {"1GB", 1_000_000_000},
          {"2k", 2048}
        ],
        do: assert(Quantity.size(text) == {:ok, bytes})

    assert Quantity.size("9007199254740993") == {:ok, 9_007_199_254_740_993}
    assert Quantity.duration("2us") == {:ok, 1}
    assert Quantity.duration("0s") == {:ok, 0}
    assert {:error, _} = Quantity.size(String.duplicate("9", 400))

    for text <- ["", "x", "-1", "1 2", "MiB"], do: assert({:error, _} = Quantity.size(text))
    assert Quantity.bytes(2_500_000) == "2.5 MB"
    assert Quantity.time(1_500) == "1.5 ms"
  end
end
