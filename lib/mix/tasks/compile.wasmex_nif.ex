defmodule Mix.Tasks.Compile.WasmexNif do
  @moduledoc """
  Installs the native library and the compiler that runs as a separate process: prebuilt, or built with cargo.

  A package lists archives with their SHA-256 in `native/checksums.txt`. If the project or the environment configures
  their location, the archive for this platform is downloaded, verified, and used:

      config :wasmex, prebuilt: "https://example.com/wasmex"     # or "file:///srv/wasmex", or an absolute path

  A machine without a network uses a folder, or a copy of `wasmex/prebuilt` from another machine's user cache directory.
  An archive with a different digest is an error. If there is no archive for this platform, or no location, cargo builds
  the library. See the [installation guide](installation.md).

  Both are installed in `priv/native/`, where `Wasmex.Native` loads the library and `Wasmex.Compiler` starts the
  compiler. A stamp next to them holds a digest of their sources; while it matches, neither cargo nor rustc is started.
  `mix clean` removes all, `mix compile --force` does not: cargo decides what to rebuild.

  ## Environment

    * `WASMEX_NIF_PATH` - a prebuilt library to load. Nothing is built, and Rust is not needed.
    * `WASMEX_COMPILER_PATH` - a prebuilt helper of the same build, by default `wasmex-compiler` beside the library.
      The helper is not built then.
    * `WASMEX_PREBUILT` - the location of the archives: `https:`, `file:` or a folder. Takes precedence over `config :wasmex, prebuilt:`.
    * `WASMEX_CACERTS_PATH` - a PEM file with the certificates to trust for `https:`, by default the system's. Takes
      precedence over `config :wasmex, prebuilt_cacerts:`, and that over `HEX_CACERTS_PATH`.
    * `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` - as usual, also in lower case.
    * `WASMEX_BUILD` - `1` always builds with cargo.
    * `WASMEX_FEATURES` - the parts of the library to build, such as `compiler,wat`; empty for the smallest. Takes
      precedence over `config :wasmex, features:`.
    * `CARGO_TARGET_DIR` - where cargo keeps what it compiles. Default: `wasmex/target` in the
      user's cache, so that wasmtime is compiled once for all projects and Mix environments.
    * `CARGO_BUILD_TARGET`, `RUSTFLAGS` - as cargo has them. A change builds the library again.
    * `TARGET_ARCH`, `TARGET_OS`, `TARGET_ABI` - the platform whose archive is used, as Nerves sets them; by default
      `CARGO_BUILD_TARGET`, or this VM's.

  ## Errors

  If cargo is missing or fails, compilation stops with one sentence, after cargo's own output.
  """

  use Mix.Task.Compiler

  alias Wasmex.Build.{Features, Platform, Prebuilt}

  # Mix runs a compiler in its project's folder, also if the project is a dependency, so every path here is relative to
  # it.
  @native "priv/native"
  @stamp "priv/native/wasmex.stamp"
  @sources ["Cargo.toml", "native/**/*.{rs,toml}"]
  @lock "Cargo.lock"
  @settings ["CARGO_BUILD_TARGET", "RUSTFLAGS"]

  @impl true
  def run(_args) do
    cond do
      env("WASMEX_NIF_PATH") -> {:noop, []}
      current?() -> {:noop, []}
      env("WASMEX_BUILD") == "1" -> build(nil)
      true -> prebuilt()
    end
  end

  # Without a network or an archive, use cargo; an archive that does not match is an error.
  defp prebuilt do
    case Prebuilt.fetch(features()) do
      {:ok, digest, files} -> take(digest, files)
      {:none, why} -> build(tell(why))
      {:error, why} -> Mix.raise("the prebuilt native library: #{why}")
    end
  end

  # A configured location that has no archive costs minutes of cargo, so the reason is shown.
  defp tell(why) do
    if Prebuilt.configured?(), do: Mix.shell().info("No prebuilt native library: #{why}")
    why
  end

  defp take(digest, files) do
    for product <- products() do
      bytes =
        files[product.installed] || Mix.raise("the prebuilt archive has no #{product.installed}")

      install!(product, &File.write!(&1, bytes))
      File.chmod!(installed(product), 0o755)
    end

    File.write!(@stamp, prebuilt_stamp(digest))
    Mix.shell().info("Installed the prebuilt native library (SHA-256 #{digest})")
    Mix.Project.build_structure()
    {:ok, []}
  end

  defp prebuilt_stamp(digest),
    do: "prebuilt #{digest} #{inspect(Enum.map(products(), & &1.installed))}"

  @impl true
  # No other module of this project: without a build there is none.
  def clean do
    installed = for name <- [library_name(), helper_name()], do: Path.join(@native, name)
    Enum.each([@stamp | installed], &File.rm/1)
  end

  defp current? do
    Enum.all?(products(), &File.regular?(installed(&1))) and
      File.read(@stamp) in [{:ok, digest()} | prebuilt_now()]
  end

  # The stamp after installing an archive from this package's list.
  defp prebuilt_now do
    with true <- env("WASMEX_BUILD") != "1",
         {:ok, name} <- Prebuilt.name(features()),
         {:ok, digest} <- Prebuilt.digest(name),
         do: [{:ok, prebuilt_stamp(digest)}],
         else: (_ -> [])
  end

  defp build(why_no_archive) do
    # Taken before cargo runs, so that a file saved in the meantime is noticed by the next compilation.
    digest = digest()
    cargo = System.find_executable("cargo") || Mix.raise(missing_cargo(why_no_archive))

    Mix.shell().info(
      "Compiling the native library with cargo (wasmtime included): " <>
        "takes some minutes the first time, cached in #{target_dir()}"
    )

    # One after the other: together cargo would build wasmtime once for both, and the compiler with its whole runtime.
    for product <- products() do
      cargo!(cargo, product)
      install!(product, &copy!(product, &1))
    end

    File.write!(@stamp, digest)

    # Without links (Windows), Mix copies priv, before cargo runs.
    Mix.Project.build_structure()
    {:ok, []}
  end

  defp products, do: if(env("WASMEX_COMPILER_PATH"), do: [library()], else: [library(), helper()])

  # The package, what it is called in messages, the file that cargo makes, and its name in priv.
  # `:erlang.load_nif/2` appends the extension itself: `.dll` on Windows, `.so` elsewhere, macOS too.
  defp library do
    %{
      package: "wasmex",
      description: "native library",
      built: built_name(),
      installed: library_name(),
      features: Features.cargo(features())
    }
  end

  defp helper do
    %{
      package: "wasmex-compiler",
      description: "compiler helper",
      built: helper_name(),
      installed: helper_name(),
      features: []
    }
  end

  defp library_name, do: if(windows?(), do: "wasmex.dll", else: "wasmex.so")
  defp helper_name, do: if(windows?(), do: "wasmex-compiler.exe", else: "wasmex-compiler")

  defp cargo!(cargo, product) do
    # cargo adds no hash to the names of linked files: another checkout with the same target folder writes the same
    # file, and cargo would treat it as fresh. Remove it, so that cargo links ours.
    Enum.each([built(product), Path.join([built_dir(), "deps", product.built])], &File.rm/1)

    # cargo reports on stderr. It is inherited, so that cargo detects its destination: a progress bar and colours on a
    # terminal, a plain line per crate in a pipe or a log.
    case System.cmd(cargo, cargo_args(product), env: cargo_env(), into: IO.stream()) do
      {_, 0} ->
        :ok

      {_, status} ->
        Mix.raise("cargo could not build the #{product.description} (status #{status})")
    end
  end

  defp cargo_args(product) do
    locked = if File.regular?(@lock), do: ["--locked"], else: []
    ["build", "--release", "--package", product.package] ++ locked ++ product.features
  end

  defp features do
    case Features.selected() do
      {:ok, features} -> features
      {:error, why} -> Mix.raise("config :wasmex, #{why}")
    end
  end

  defp cargo_env do
    [{"CARGO_TARGET_DIR", target_dir()}] ++ rustflags()
  end

  # On musl rustc links statically by default, which produces no shared library.
  defp rustflags do
    if (env("CARGO_BUILD_TARGET") || libc()) =~ "musl" and env("RUSTFLAGS") == nil,
      do: [{"RUSTFLAGS", "-C target-feature=-crt-static"}],
      else: []
  end

  # A running VM may have the old file mapped: it keeps that file, and the name refers to the new one.
  defp install!(product, write) do
    File.mkdir_p!(@native)
    temporary = "#{installed(product)}.#{System.pid()}"

    try do
      write.(temporary)
      File.rename!(temporary, installed(product))
    after
      File.rm(temporary)
    end
  end

  defp copy!(product, path) do
    File.regular?(built(product)) ||
      Mix.raise("cargo produced no #{product.description} at #{built(product)}")

    File.cp!(built(product), path)
  end

  defp installed(product), do: Path.join(@native, product.installed)

  defp built(product), do: Path.join(built_dir(), product.built)

  defp built_dir do
    Path.join([target_dir(), env("CARGO_BUILD_TARGET") || "", "release"])
  end

  defp built_name do
    case :os.type() do
      {:win32, _} -> "wasmex.dll"
      {:unix, :darwin} -> "libwasmex.dylib"
      {:unix, _} -> "libwasmex.so"
    end
  end

  defp target_dir do
    case env("CARGO_TARGET_DIR") do
      nil -> :user_cache |> :filename.basedir("wasmex") |> Path.join("target")
      dir -> Path.expand(dir)
    end
  end

  # Includes the architecture because a checkout may be copied, for example from a Mac into a container, with the
  # library.
  defp digest do
    files =
      for pattern <- [@lock | @sources], path <- Path.wildcard(pattern), do: {path, hash!(path)}

    inputs =
      {files, architecture(), Enum.map(products(), &cargo_args/1), Enum.map(@settings, &env/1)}

    inputs |> inspect(limit: :infinity, printable_limit: :infinity) |> hash()
  end

  defp hash!(path), do: path |> File.read!() |> hash()

  # Not security relevant, and MD5 needs no application besides erts.
  defp hash(binary), do: binary |> :erlang.md5() |> Base.encode16(case: :lower)

  defp architecture, do: to_string(:erlang.system_info(:system_architecture))

  # A VM linked to musl may report another system.
  defp libc, do: with({_, target} <- Platform.host(), do: target)

  defp windows?, do: match?({:win32, _}, :os.type())

  defp env(name) do
    case System.get_env(name) do
      "" -> nil
      value -> value
    end
  end

  defp missing_cargo(why_no_archive) do
    prebuilt =
      if why_no_archive,
        do: " (There is no prebuilt library either: #{why_no_archive}.)",
        else: ""

    "Wasmex builds its native library with Rust's cargo, which was not found; install it with: " <>
      install_command() <> prebuilt
  end

  defp install_command do
    if windows?(),
      do: "winget install Rustlang.Rustup",
      else: "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  end
end
