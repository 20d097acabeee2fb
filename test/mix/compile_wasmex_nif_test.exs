defmodule Mix.Tasks.Compile.WasmexNifTest do
  # Every test runs Mix in a process of the operating system, on a copy in its own folder: neither
  # this checkout's library nor this VM's environment is touched.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag :tmp_dir
  @moduletag timeout: :infinity

  @root Path.expand("../..", __DIR__)
  @load_the_nif ~S|{:ok, wasm} = Wasmex.Wat.to_wasm("(module)"); IO.puts("made #{byte_size(wasm)} bytes")|

  # What a developer may have exported and what `mix test` itself exports.
  @cleared ~w(MIX_ENV MIX_EXS MIX_TARGET MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH
              WASMEX_NIF_PATH WASMEX_COMPILER_PATH WASMEX_PREBUILT WASMEX_BUILD WASMEX_FEATURES CARGO_BUILD_TARGET)

  describe "the build" do
    setup %{tmp_dir: dir} do
      %{wasmex: copy_of_the_build(dir), cargo: stub_cargo(dir)}
    end

    test "installs what cargo made, and asks cargo again only when an input has changed",
         context do
      assert {output, 0} = mix(context.wasmex, ["compile"], context)
      assert output =~ "Compiling the native library with cargo"
      assert output =~ context.cargo.target
      assert installed(context.wasmex) == "library 1"
      assert installed(context.wasmex, "wasmex-compiler") == "helper 2"

      assert cargo_calls(context) == [
               "build --release --package wasmex --locked",
               "build --release --package wasmex-compiler --locked"
             ]

      assert {output, 0} = mix(context.wasmex, ["compile"], context)
      refute output =~ "cargo"
      assert length(cargo_calls(context)) == 2

      File.write!(Path.join(context.wasmex, "native/wasmex/src/lib.rs"), "// changed")
      assert {_, 0} = mix(context.wasmex, ["compile"], context)
      assert installed(context.wasmex) == "library 3"

      assert {_, 0} = mix(context.wasmex, ["clean"], context)
      assert installed(context.wasmex) == nil
      assert installed(context.wasmex, "wasmex-compiler") == nil
      assert {_, 0} = mix(context.wasmex, ["compile"], context)
      assert installed(context.wasmex) == "library 5"
    end

    test "leaves the helper alone where WASMEX_COMPILER_PATH names one", context do
      helper = [{"WASMEX_COMPILER_PATH", "/somewhere/wasmex-compiler"}]
      assert {_, 0} = mix(context.wasmex, ["compile"], context, helper)
      assert cargo_calls(context) == ["build --release --package wasmex --locked"]
      assert installed(context.wasmex, "wasmex-compiler") == nil
    end

    test "goes without --locked where there is no lock file", context do
      File.rm!(Path.join(context.wasmex, "Cargo.lock"))
      assert {_, 0} = mix(context.wasmex, ["compile"], context)

      assert cargo_calls(context) == [
               "build --release --package wasmex",
               "build --release --package wasmex-compiler"
             ]
    end

    test "leaves out the features that are not selected, and builds again when that changes",
         context do
      lean = [{"WASMEX_FEATURES", "components wat"}]
      assert {_, 0} = mix(context.wasmex, ["compile"], context, lean)

      assert cargo_calls(context) == [
               "build --release --package wasmex --locked --no-default-features --features components,wat",
               "build --release --package wasmex-compiler --locked"
             ]

      assert {_, 0} = mix(context.wasmex, ["compile"], context, lean)
      assert length(cargo_calls(context)) == 2
      assert {_, 0} = mix(context.wasmex, ["compile"], context)
      assert Enum.at(cargo_calls(context), 2) == "build --release --package wasmex --locked"

      assert {output, 1} =
               mix(context.wasmex, ["compile"], context, [{"WASMEX_FEATURES", "threads"}])

      assert output =~ "unknown features: threads; there are compiler, components, plugins, wat"
    end

    test "never takes another checkout's library from a shared target folder", context do
      assert {_, 0} = mix(context.wasmex, ["compile"], context)

      # This cargo believes that there is nothing to do.
      context = %{context | cargo: stub_cargo(context.tmp_dir, "exit 0")}
      File.write!(Path.join(context.cargo.target, "release/libwasmex.so"), "another's")
      assert {_, 0} = mix(context.wasmex, ["clean"], context)
      assert {output, 1} = mix(context.wasmex, ["compile"], context)
      assert output =~ "cargo produced no native library"
      assert installed(context.wasmex) == nil
    end

    test "keeps the installed library when cargo fails, and tries again", context do
      assert {_, 0} = mix(context.wasmex, ["compile"], context)
      File.write!(Path.join(context.wasmex, "native/wasmex/src/lib.rs"), "// changed")

      failing = %{
        context
        | cargo: stub_cargo(context.tmp_dir, "echo 'error: E0308' >&2; exit 101")
      }

      assert {output, 1} = mix(context.wasmex, ["compile"], failing)
      assert output =~ "error: E0308"
      assert output =~ "cargo could not build the native library (status 101)"
      assert installed(context.wasmex) == "library 1"

      context = %{context | cargo: stub_cargo(context.tmp_dir)}
      assert {_, 0} = mix(context.wasmex, ["compile"], context)
      assert installed(context.wasmex) == "library 4"
    end

    test "links dynamically for musl, unless RUSTFLAGS are set", context do
      stub = stub_cargo(context.tmp_dir, ~s|echo "flags: $RUSTFLAGS"; exit 1|)
      musl = [{"CARGO_BUILD_TARGET", "x86_64-unknown-linux-musl"}, {"RUSTFLAGS", nil}]
      assert {output, 1} = mix(context.wasmex, ["compile"], %{context | cargo: stub}, musl)
      assert output =~ "flags: -C target-feature=-crt-static\n"

      own = List.keyreplace(musl, "RUSTFLAGS", 0, {"RUSTFLAGS", "-C debuginfo=1"})
      assert {output, 1} = mix(context.wasmex, ["compile"], %{context | cargo: stub}, own)
      assert output =~ "flags: -C debuginfo=1\n"
    end

    test "says in one sentence how to install a missing cargo", context do
      # The VM's own PATH: the shell scripts that start it still need theirs.
      options = "#{System.get_env("ELIXIR_ERL_OPTIONS")} -env PATH #{context.tmp_dir}"

      assert {output, 1} =
               mix(context.wasmex, ["compile"], context, [{"ELIXIR_ERL_OPTIONS", options}])

      assert [sentence] = Regex.run(~r/^\*\* \(Mix\) .*$/m, output)
      assert sentence =~ "cargo, which was not found; install it with: curl "
      assert installed(context.wasmex) == nil
    end

    @tag skip: is_nil(System.find_executable("git"))
    test "runs in a git dependency of another project", context do
      git!(context.wasmex, ["init", "--quiet"])
      git!(context.wasmex, ["add", "."])
      git!(context.wasmex, ~w(-c user.name=t -c user.email=t@localhost commit --quiet
                              --no-gpg-sign --message t))
      consumer = consumer(context.tmp_dir, git: context.wasmex)

      assert {_, 0} = mix(consumer, ["do", "deps.get", "+", "compile"], context)
      assert installed(Path.join(consumer, "deps/wasmex")) == "library 1"
      assert installed(Path.join(consumer, "_build/dev/lib/wasmex")) == "library 1"
      assert installed(context.wasmex) == nil
    end
  end

  # The two below compile the library in another project: `mix test --only package`.
  @tag :package
  test "a path dependency of another project loads the library, without cargo once it is built",
       %{tmp_dir: dir} do
    context = %{cargo: stub_cargo(dir, "exit 1")}
    # Where this very suite runs on a prebuilt library, there is no other.
    prebuilt = [{"WASMEX_NIF_PATH", System.get_env("WASMEX_NIF_PATH")}]

    assert {output, 0} =
             mix(consumer(dir, path: @root), ["run", "-e", @load_the_nif], context, prebuilt)

    assert output =~ "made 8 bytes"
    assert cargo_calls(context) == []
  end

  @tag :package
  test "WASMEX_NIF_PATH loads a prebuilt library where there is no Rust", %{tmp_dir: dir} do
    wasmex = Path.join(dir, "wasmex")
    File.mkdir_p!(wasmex)

    for path <- ["mix.exs", "lib"],
        do: File.cp_r!(Path.join(@root, path), Path.join(wasmex, path))

    prebuilt = Path.join(dir, "prebuilt.so")
    File.cp!(library(), prebuilt)
    context = %{cargo: stub_cargo(dir, "exit 1")}

    assert {output, 0} =
             mix(consumer(dir, path: wasmex), ["run", "-e", @load_the_nif], context, [
               {"WASMEX_NIF_PATH", prebuilt}
             ])

    assert output =~ "made 8 bytes"
    assert cargo_calls(context) == []
    assert installed(wasmex) == nil
  end

  # The project without all that the build does not read: compiled in a second.
  defp copy_of_the_build(dir) do
    wasmex = Path.join(dir, "wasmex")

    for path <-
          ~w(mix.exs Cargo.toml Cargo.lock lib/mix/tasks/compile.wasmex_nif.ex lib/wasmex/build/prebuilt.ex
                   lib/wasmex/build/platform.ex lib/wasmex/build/download.ex lib/wasmex/build/features.ex
                   native/wasmex/Cargo.toml native/wasmex/src/lib.rs priv/native/.gitkeep) do
      File.mkdir_p!(Path.join(wasmex, Path.dirname(path)))
      File.cp!(Path.join(@root, path), Path.join(wasmex, path))
    end

    wasmex
  end

  defp consumer(dir, source) do
    consumer = Path.join(dir, "consumer")
    File.mkdir_p!(consumer)

    File.write!(Path.join(consumer, "mix.exs"), """
    defmodule Consumer.MixProject do
      use Mix.Project
      def project, do: [app: :consumer, version: "0.1.0", deps: [{:wasmex, #{inspect(source)}}]]
    end
    """)

    consumer
  end

  # A cargo that notes how it was called and "builds" a library and a helper that tell which call made them.
  defp stub_cargo(dir, work \\ "call=$(grep -c '' \"$LOG\")") do
    cargo = %{
      bin: Path.join(dir, "bin"),
      target: Path.join(dir, "target"),
      log: Path.join(dir, "cargo.log")
    }

    File.mkdir_p!(cargo.bin)

    File.write!(Path.join(cargo.bin, "cargo"), """
    #!/bin/sh
    LOG="$(dirname "$0")/../cargo.log"
    echo "$@" >> "$LOG"
    #{work}
    mkdir -p "$CARGO_TARGET_DIR/release"
    case "$4" in
      wasmex) for name in libwasmex.so libwasmex.dylib; do
        printf 'library %s' "$call" > "$CARGO_TARGET_DIR/release/$name"
      done ;;
      *) printf 'helper %s' "$call" > "$CARGO_TARGET_DIR/release/$4" ;;
    esac
    """)

    File.chmod!(Path.join(cargo.bin, "cargo"), 0o755)
    cargo
  end

  defp cargo_calls(%{cargo: cargo}) do
    case File.read(cargo.log) do
      {:ok, log} -> String.split(log, "\n", trim: true)
      {:error, :enoent} -> []
    end
  end

  defp mix(dir, args, %{cargo: cargo}, env \\ []) do
    path = cargo.bin <> ":" <> System.get_env("PATH")
    cleared = for name <- @cleared, do: {name, nil}
    env = cleared ++ [{"PATH", path}, {"CARGO_TARGET_DIR", cargo.target}] ++ env
    System.cmd("mix", args, cd: dir, env: env, stderr_to_stdout: true)
  end

  defp git!(dir, args), do: {_, 0} = System.cmd("git", args, cd: dir)

  defp installed(dir, name \\ "wasmex.so") do
    case File.read(Path.join([dir, "priv/native", name])) do
      {:ok, bytes} -> bytes
      {:error, :enoent} -> nil
    end
  end

  defp library do
    case System.get_env("WASMEX_NIF_PATH") do
      path when path in [nil, ""] -> Application.app_dir(:wasmex, "priv/native/wasmex.so")
      path -> path
    end
  end
end
