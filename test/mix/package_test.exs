defmodule Wasmex.PackageTest do
  # The package as somebody has it who has no Rust: a fresh project, the package, and archives at a file: address.
  # It compiles the library once more: `mix test --only package`.
  use ExUnit.Case, async: true

  @moduletag :package
  @moduletag :tmp_dir
  @moduletag timeout: :infinity
  @root Path.expand("../..", __DIR__)

  # A PATH with what mix and the shell need, and no cargo.
  setup %{tmp_dir: dir} do
    bin = Path.join(dir, "bin")
    File.mkdir_p!(bin)

    for folder <- String.split(System.get_env("PATH"), ":"),
        {:ok, names} <- [File.ls(folder)],
        name <- names,
        name not in ["cargo", "rustc", "rustup"],
        do: File.ln_s(Path.join(folder, name), Path.join(bin, name))

    options = "#{System.get_env("ELIXIR_ERL_OPTIONS")} -env PATH #{bin}"

    env = [
      {"WASMEX_NIF_PATH", nil},
      {"WASMEX_COMPILER_PATH", nil},
      {"MIX_ENV", nil},
      {"WASMEX_DIST", Path.join(dir, "dist")}
    ]

    env =
      env ++
        [
          {"XDG_CACHE_HOME", Path.join(dir, "cache")},
          {"PATH", bin},
          {"ELIXIR_ERL_OPTIONS", options}
        ]

    %{env: env, dist: Path.join(dir, "dist")}
  end

  defp package(context, args) do
    script = [Path.join(@root, "script/package.exs") | args]
    # The project's own mix.exs says what is in the package.
    env = [{"MIX_ENV", "test"} | List.keydelete(context.env, "MIX_ENV", 0)]

    {output, 0} =
      System.cmd("mix", ["run", "--no-start", "--no-compile" | script],
        cd: @root,
        env: env,
        stderr_to_stdout: true
      )

    String.trim(output)
  end

  defp mix(context, dir, args, env \\ []) do
    env = Enum.uniq_by(env ++ context.env, &elem(&1, 0))
    System.cmd("mix", args, cd: dir, env: env, stderr_to_stdout: true)
  end

  defp project(context, name) do
    assert {_, 0} = mix(context, context.tmp_dir, ["new", name])
    dir = Path.join(context.tmp_dir, name)
    package = Path.join(context.dist, "wasmex-#{Mix.Project.config()[:version]}")
    mixfile = File.read!(Path.join(dir, "mix.exs"))

    mixfile =
      String.replace(
        mixfile,
        ~r/defp deps do\n    \[.*?\]/s,
        "defp deps do\n    [{:wasmex, path: #{inspect(package)}}]"
      )

    File.write!(Path.join(dir, "mix.exs"), mixfile)
    {dir, package}
  end

  # The first snippet of the README, and what it says is printed.
  defp snippet do
    readme = File.read!(Path.join(@root, "README.md"))
    [_, code] = Regex.run(~r/```elixir\n(.*?)```/s, readme)
    [_, printed] = Regex.run(~r/^# (.*)$/m, code)
    {code, printed}
  end

  test "the README's first snippet, without cargo, from the package and an archive", context do
    target = package(context, ["host"])

    library =
      Path.dirname(
        System.get_env("WASMEX_NIF_PATH") || Application.app_dir(:wasmex, "priv/native/wasmex.so")
      )

    package(context, ["archive", target, library, "LICENSE"])
    assert [archive] = Path.wildcard(context.dist <> "/*.tar.gz")
    {:ok, files} = :erl_tar.table(String.to_charlist(archive), [:compressed, :verbose])

    # The library, the program that compiles, which must be executable, and the licences of what is linked.
    assert [{~c"wasmex.so", :regular, size, _, 0o100755, 0, 0}, helper, licences] = files
    assert size == File.stat!(Path.join(library, "wasmex.so")).size
    assert {~c"wasmex-compiler", :regular, _, _, 0o100755, 0, 0} = helper
    assert {~c"licences.txt", :regular, _, _, 0o100644, 0, 0} = licences
    assert package(context, ["package"]) =~ "wasmex-"
    {dir, package} = project(context, "shop")
    {code, printed} = snippet()
    File.write!(Path.join(dir, "try.exs"), code)

    # No address: there is neither an archive nor cargo, and both are said.
    assert {output, 1} = mix(context, dir, ["compile"])
    assert output =~ "cargo, which was not found"
    assert output =~ "no address is configured"

    address = "file://" <> context.dist
    assert {output, 0} = mix(context, dir, ["run", "try.exs"], [{"WASMEX_PREBUILT", address}])
    assert output =~ "Installed the prebuilt native library"
    assert printed in String.split(output, "\n", trim: true)

    # It stays, and from now on no address is needed: not even after a clean, for the archive is in the cache.
    assert {output, 0} = mix(context, dir, ["run", "try.exs"])
    refute output =~ "prebuilt"
    assert {_, 0} = mix(context, dir, ["deps.clean", "wasmex", "--build"])
    for file <- Path.wildcard(package <> "/priv/native/*"), do: File.rm!(file)
    assert {output, 0} = mix(context, dir, ["run", "try.exs"])
    assert printed in String.split(output, "\n", trim: true)

    # The helper that compiles is in the archive, too.
    isolated =
      ~s|{:ok, _} = Wasmex.Module.compile(Wasmex.Engine.default(), "(module)", compile: :isolated)|

    assert {_, 0} = mix(context, dir, ["run", "-e", isolated])

    # An archive that is not the package's own ends it all, whatever its name.
    for file <- Path.wildcard(package <> "/priv/native/*"), do: File.rm!(file)
    File.rm_rf!(Path.join(context.tmp_dir, "cache"))
    [archive] = Path.wildcard(context.dist <> "/wasmex-*-nif-*.tar.gz")
    File.write!(archive, File.read!(archive) <> "x")
    assert {output, 1} = mix(context, dir, ["compile"], [{"WASMEX_PREBUILT", address}])
    assert output =~ "is not the archive of this package"
    assert Path.wildcard(package <> "/priv/native/wasmex*") == []
  end

  test "the tar file is as Hex takes it", context do
    File.mkdir_p!(context.dist)
    package(context, ["package"])
    [tar] = Path.wildcard(context.dist <> "/wasmex-*.tar")
    {:ok, files} = :erl_tar.extract(String.to_charlist(tar), [:memory])
    files = Map.new(files, fn {name, bytes} -> {to_string(name), bytes} end)
    assert files["VERSION"] == "3"
    digest = :crypto.hash(:sha256, ["3", files["metadata.config"], files["contents.tar.gz"]])
    assert files["CHECKSUM"] == Base.encode16(digest)

    path = Path.join(context.tmp_dir, "metadata.config")
    File.write!(path, files["metadata.config"])
    {:ok, metadata} = :file.consult(path)
    metadata = Map.new(metadata)
    assert metadata["name"] == "wasmex" and metadata["licenses"] == ["Apache-2.0"]

    {:ok, contents} =
      :erl_tar.extract({:binary, files["contents.tar.gz"]}, [:memory, :compressed])

    names = for {name, _} <- contents, do: to_string(name)
    assert Enum.sort(names) == Enum.sort(metadata["files"])

    for needed <-
          ~w(mix.exs Cargo.toml Cargo.lock LICENSE README.md lib/wasmex.ex native/checksums.txt native/wasmex/src/lib.rs),
        do: assert(needed in names)

    refute Enum.any?(names, &(&1 =~ ~r/\.so$|_build|\.beam$/))
  end
end
