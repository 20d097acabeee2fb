defmodule Wasmex.Build.PrebuiltTest do
  # `mix compile` with an archive at each kind of address: a copy of the build, where a file stands for the library.
  use ExUnit.Case, async: true

  alias Wasmex.Build.{Features, Prebuilt}
  alias Wasmex.Origin

  # Each test starts Mix several times.
  @moduletag :package
  @moduletag :tmp_dir
  @moduletag timeout: :infinity

  @root Path.expand("../..", __DIR__)
  @cleared ~w(MIX_ENV MIX_EXS MIX_TARGET MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH WASMEX_NIF_PATH
              WASMEX_COMPILER_PATH WASMEX_PREBUILT WASMEX_BUILD WASMEX_CACERTS_PATH HEX_CACERTS_PATH
              WASMEX_FEATURES HTTPS_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy
              CARGO_BUILD_TARGET TARGET_ARCH TARGET_OS TARGET_ABI)

  setup %{tmp_dir: dir} do
    wasmex = Path.join(dir, "wasmex")

    for path <-
          ["mix.exs", "lib/mix/tasks/compile.wasmex_nif.ex"] ++
            Path.wildcard("lib/wasmex/build/*.ex") do
      File.mkdir_p!(Path.join(wasmex, Path.dirname(path)))
      File.cp!(Path.join(@root, path), Path.join(wasmex, path))
    end

    {:ok, name} = Prebuilt.name()
    archive = archive(dir, "from the archive")
    File.mkdir_p!(Path.join(wasmex, "native"))
    File.write!(Path.join(wasmex, "native/checksums.txt"), "#{sha256(archive)}  #{name}\n")
    bin = Path.join(dir, "bin")
    File.mkdir_p!(bin)
    # A cargo that says that it was called.
    File.write!(Path.join(bin, "cargo"), "#!/bin/sh\necho cargo was called\nexit 1\n")
    File.chmod!(Path.join(bin, "cargo"), 0o755)
    %{wasmex: wasmex, name: name, archive: archive, bin: bin}
  end

  defp archive(dir, content) do
    path = Path.join(dir, "made.tar.gz")
    files = [{~c"wasmex.so", content}, {~c"wasmex-compiler", "helper"}]
    :ok = :erl_tar.create(String.to_charlist(path), files, [:compressed])
    File.read!(path)
  end

  defp sha256(bytes), do: :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

  defp compile(context, env, dir \\ nil) do
    env =
      for({name, nil} <- Enum.map(@cleared, &{&1, nil}), do: {name, nil}) ++
        [
          {"PATH", context.bin <> ":" <> System.get_env("PATH")},
          {"XDG_CACHE_HOME", Path.join(context.tmp_dir, "cache")}
        ] ++ env

    System.cmd("mix", ["compile"], cd: dir || context.wasmex, env: env, stderr_to_stdout: true)
  end

  defp installed(context) do
    case File.read(Path.join(context.wasmex, "priv/native/wasmex.so")) do
      {:ok, bytes} -> bytes
      {:error, :enoent} -> nil
    end
  end

  # A server with the certificate of a CA of its own, and the variables to reach it.
  defp server(context, answer) do
    {tls, pem} = Origin.certificates()
    path = Path.join(context.tmp_dir, "ca.pem")
    File.write!(path, pem)
    address = "https://localhost:#{Origin.answer(answer, tls: tls)}/releases"
    {address, [{"WASMEX_PREBUILT", address}, {"WASMEX_CACERTS_PATH", path}]}
  end

  test "https: takes the archive, and the next build needs no server", context do
    {address, env} = server(context, Origin.response(context.archive))
    assert {output, 0} = compile(context, env)
    assert output =~ "Downloading #{address}/#{context.name}"
    assert output =~ "Installed the prebuilt native library"
    refute output =~ "cargo was called"
    assert installed(context) == "from the archive"
    path = "GET /releases/#{context.name} "
    assert_receive {:request, request}
    assert String.starts_with?(request, path)

    # Up to date; and after a loss, from the user's cache, without an address.
    assert {_, 0} = compile(context, [])
    File.rm_rf!(Path.join(context.wasmex, "priv"))
    assert {output, 0} = compile(context, [])
    refute output =~ "Downloading"
    assert installed(context) == "from the archive"
    refute_received {:request, _}
  end

  test "https: with other bytes is an error, and leaves nothing", context do
    {_, env} = server(context, Origin.response(archive(context.tmp_dir, "another")))
    assert {output, 1} = compile(context, env)
    assert output =~ "is not the archive of this package: its SHA-256 is "
    refute output =~ "cargo was called"
    assert installed(context) == nil
    assert Path.wildcard(Path.join(context.tmp_dir, "cache/**/*.tar.gz")) == []
  end

  test "https: without the archive says why, and asks cargo", context do
    {address, env} = server(context, Origin.response("", "404 Not Found"))
    assert {output, 1} = compile(context, env)

    assert output =~
             "No prebuilt native library: #{address}/#{context.name}: status 404"

    assert output =~ "cargo was called"
    assert installed(context) == nil
  end

  test "https: with a certificate that is not trusted says so", context do
    {_, env} = server(context, Origin.response(context.archive))
    assert {output, 1} = compile(context, List.keydelete(env, "WASMEX_CACERTS_PATH", 0))
    assert output =~ "No prebuilt native library: https://localhost:"
    assert output =~ "Unknown CA" or output =~ "no CA certificates"
    assert installed(context) == nil
  end

  test "file: and a folder, from the environment and the project's configuration", context do
    folder = Path.join(Path.expand(context.tmp_dir), "with spaces")
    File.mkdir_p!(folder)
    File.write!(Path.join(folder, context.name), context.archive)

    for address <- ["file://" <> URI.encode(folder), "file:" <> URI.encode(folder), folder <> "/"] do
      File.rm_rf!(Path.join(context.wasmex, "priv"))
      File.rm_rf!(Path.join(context.tmp_dir, "cache"))
      assert {_, 0} = compile(context, [{"WASMEX_PREBUILT", address}])
      assert installed(context) == "from the archive"
    end

    File.rm_rf!(Path.join(context.wasmex, "priv"))
    File.rm_rf!(Path.join(context.tmp_dir, "cache"))
    consumer = consumer(context, folder)
    assert {output, 0} = compile(context, [], consumer)
    assert output =~ "Installed the prebuilt native library"
    assert installed(context) == "from the archive"
  end

  defp consumer(context, prebuilt) do
    dir = Path.join(context.tmp_dir, "consumer")
    File.mkdir_p!(Path.join(dir, "config"))

    File.write!(
      Path.join(dir, "config/config.exs"),
      "import Config\nconfig :wasmex, prebuilt: #{inspect(prebuilt)}\n"
    )

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Consumer.MixProject do
      use Mix.Project
      def project, do: [app: :consumer, version: "0.1.0", deps: [{:wasmex, path: #{inspect(context.wasmex)}}]]
    end
    """)

    dir
  end

  test "addresses that can't work are errors that say what can", context do
    assert {output, 1} = compile(context, [{"WASMEX_PREBUILT", "http://localhost/x"}])
    assert output =~ "only https: and file: URLs and folders are supported"
    assert {output, 1} = compile(context, [{"WASMEX_PREBUILT", "archives"}])
    assert output =~ "archives: a folder must have an absolute path"
    refute output =~ "cargo was called"
  end

  test "another machine's archive, as Nerves names it", context do
    name = Prebuilt.name("aarch64-linux-musl", Features.all())
    archive = archive(context.tmp_dir, "for the other")
    list = Path.join(context.wasmex, "native/checksums.txt")
    File.write!(list, "#{sha256(archive)}  #{name}\n", [:append])
    folder = Path.expand(context.tmp_dir)
    File.write!(Path.join(folder, name), archive)
    nerves = [{"TARGET_ARCH", "aarch64"}, {"TARGET_OS", "linux"}, {"TARGET_ABI", "musl"}]
    assert {_, 0} = compile(context, [{"WASMEX_PREBUILT", folder} | nerves])
    assert installed(context) == "for the other"
  end
end
