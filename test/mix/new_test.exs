defmodule Mix.Tasks.Wasmex.NewTest do
  # `mix wasmex.new` and the compiler `:wasmex_guests`, for each language whose compiler is here: what is made has to
  # compile and pass at once.
  use ExUnit.Case, async: true

  alias Wasmex.Build.Toolchain

  @moduletag :mix
  @moduletag :tmp_dir
  @moduletag timeout: :infinity

  # Of our own build, without compiling it as a dependency.
  defp mix(dir, args, env \\ []) do
    lib = Path.dirname(Application.app_dir(:wasmex))

    cleared =
      for name <- ~w(MIX_EXS MIX_BUILD_PATH MIX_DEPS_PATH CARGO_TARGET_DIR RUSTFLAGS),
          do: {name, nil}

    env = Enum.uniq_by(env ++ [{"ERL_LIBS", lib}, {"MIX_ENV", "test"}] ++ cleared, &elem(&1, 0))
    System.cmd("mix", args, cd: dir, env: env, stderr_to_stdout: true)
  end

  defp project(tmp) do
    dir = Path.join(tmp, "shop")
    for folder <- ["lib", "test"], do: File.mkdir_p!(Path.join(dir, folder))

    File.write!(
      Path.join(dir, "test/test_helper.exs"),
      "{:ok, _} = Application.ensure_all_started(:wasmex)\nExUnit.start()\n"
    )

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Shop.MixProject do
      use Mix.Project
      def project, do: [app: :shop, version: "0.1.0", compilers: [:wasmex_guests] ++ Mix.compilers(), prune_code_paths: false]
      def application, do: [extra_applications: [:logger, :crypto, :inets, :ssl]]
    end
    """)

    dir
  end

  # Those that need nothing from the network; the others are tried with WASMEX_GUESTS=all.
  offline = [{"rust", "function"}, {"rust", "program"}, {"rust", "http"}]

  for {language, kinds} <- Toolchain.kinds(), kind <- kinds do
    missing =
      case Toolchain.build(language, kind, ".", ".", "x") do
        {:ok, _} ->
          System.get_env("WASMEX_GUESTS") != "all" and {language, kind} not in offline and
            "WASMEX_GUESTS=all tries it"

        {:missing, how} ->
          "its compiler is missing: " <> how
      end

    if missing, do: @tag(skip: missing)

    test "a #{kind} in #{language} compiles and passes at once", %{tmp_dir: tmp} do
      dir = project(tmp)

      assert {output, 0} =
               mix(dir, [
                 "wasmex.new",
                 "my_guest",
                 "--lang",
                 unquote(language),
                 "--kind",
                 unquote(kind)
               ])

      assert output =~ "lib/my_guest.ex"
      assert {output, status} = mix(dir, ["test"])
      assert status == 0, output
      assert output =~ "1 test, 0 failures"
      # Built once.
      assert {output, 0} = mix(dir, ["test"])
      refute output =~ "Building"
    end
  end

  @tag skip:
         if(match?({:missing, _}, Toolchain.build("rust", "function", ".", ".", "x")),
           do: "there is no Rust for wasm32-wasip1"
         )
  test "a mistake is an error of mix compile, and a change builds it anew", %{tmp_dir: tmp} do
    dir = project(tmp)
    assert {_, 0} = mix(dir, ["wasmex.new", "my_guest", "--lang", "rust"])
    source = Path.join(dir, "guests/my_guest/src/lib.rs")
    good = File.read!(source)
    File.write!(source, String.replace(good, "a.wrapping_add(b)", "\"text\""))
    assert {output, 1} = mix(dir, ["compile"])
    assert output =~ ~r/src\/lib\.rs:\d+:\d+: error\[E0308\]/
    refute File.exists?(Path.join(dir, "priv/guests/my_guest.wasm"))

    File.write!(source, String.replace(good, "Hello", "Hallo"))
    assert {output, 0} = mix(dir, ["compile"])
    assert output =~ "Building guests/my_guest (rust)"
    assert File.read!(Path.join(dir, "priv/guests/my_guest.wasm")) =~ "Hallo"
    assert {output, 0} = mix(dir, ["compile"])
    refute output =~ "Building"
    # Nothing is written over.
    assert {output, 1} = mix(dir, ["wasmex.new", "my_guest", "--lang", "rust"])
    assert output =~ "already exists"
  end

  test "a build of one's own, a missing compiler, and names that make no sense", %{tmp_dir: tmp} do
    dir = project(tmp)
    guest = Path.join(dir, "guests/own")
    File.mkdir_p!(guest)
    File.write!(Path.join(guest, "guest.exs"), ~S|[build: "cp own.wat $WASMEX_OUTPUT"]|)
    File.write!(Path.join(guest, "own.wat"), "(module)")
    assert {_, 0} = mix(dir, ["compile"])
    assert File.read!(Path.join(dir, "priv/guests/own.wasm")) == "(module)"

    File.write!(Path.join(guest, "guest.exs"), ~S|[build: "exit 3"]|)
    assert {output, 1} = mix(dir, ["compile"])
    assert output =~ "sh failed (status 3)" or output =~ "status 3"

    File.write!(Path.join(guest, "guest.exs"), ~S|[lang: "python", kind: "component"]|)

    if System.find_executable("componentize-py") == nil do
      # What was built before is used, with a warning.
      assert {output, 0} = mix(dir, ["compile"])
      assert output =~ "pip install componentize-py"
      File.rm!(Path.join(dir, "priv/guests/own.wasm"))
      assert {output, 1} = mix(dir, ["compile"])
      assert output =~ "pip install componentize-py"
    end

    for {args, text} <- [
          {["wasmex.new", "x"], "--lang is missing"},
          {["wasmex.new", "x", "--lang", "cobol"], "--lang"},
          {["wasmex.new", "x", "--lang", "zig", "--kind", "component"],
           "the kinds of zig are function"},
          {["wasmex.new", "../x", "--lang", "zig"], "lower-case letters"},
          {["wasmex.new", "--lang", "zig"], "NAME"}
        ] do
      assert {output, 2} = mix(dir, args)
      assert output =~ text
    end
  end

  test "errors of compilers are read: file, line, message" do
    rust =
      "src/lib.rs:14:5: error[E0308]: mismatched types: expected `i32`\nsrc/wasmex.rs:3:1: warning: unused\nerror: could not compile"

    assert [
             {"src/lib.rs", 14, :error, "mismatched types: expected `i32`"},
             {"src/wasmex.rs", 3, :warning, "unused"}
           ] = Toolchain.diagnostics("rust", rust)

    assert [{"main.go", 7, :error, "undefined: x"}] =
             Toolchain.diagnostics("go", "# my_guest\n./main.go:7:2: undefined: x\n")

    assert [{"guest.c", 5, :error, "expected ';'"}] =
             Toolchain.diagnostics(
               "c",
               "guest.c:5:3: error: expected ';'\nguest.c:4:1: note: here\n"
             )

    assert [{"guest.zig", 9, :error, "expected type 'u64'"}] =
             Toolchain.diagnostics("zig", "guest.zig:9:12: error: expected type 'u64'\n")

    asc =
      "ERROR TS2322: Type 'i32' is not assignable to type 'u64'.\n   :\n 8 │ return 1;\n   │        ~\n   └─ in index.ts(8,10)\n"

    assert [{"index.ts", 8, :error, "Type 'i32'" <> _}] =
             Toolchain.diagnostics("assemblyscript", asc)
  end
end
