defmodule Mix.Tasks.Compile.WasmexNif do
  @moduledoc """
  Installs the native library and the helper that compiles in a process of its own: prebuilt, or built with cargo.

  A package has a list of archives with their SHA-256, `native/checksums.txt`. Where the project or the environment names
  the address that they are at, the one for this system is downloaded, compared with the list, and used:

      config :wasmex, prebuilt: "https://example.com/wasmex"     # or "file:///srv/wasmex", or a folder

  A machine without a network uses a folder, or a copy of `wasmex/prebuilt` in the user's cache directory of another
  machine. An archive with another digest ends the compilation. Where there is none for this system, or no address, cargo
  builds the library.

  Both land in `priv/native/`, where `Wasmex.Native` loads the one and `Wasmex.Compiler` starts the other. Beside them
  a stamp holds a digest of all they were built from; while that digest stays the same neither cargo nor rustc is
  started. `mix clean` removes all, `mix compile --force` does not: cargo knows best what is stale.

  ## Environment

    * `WASMEX_NIF_PATH` - a prebuilt library to load. Nothing is built, no Rust is needed.
    * `WASMEX_COMPILER_PATH` - a prebuilt helper of the same build, by default `wasmex-compiler` beside the library.
      The helper is not built then.
    * `WASMEX_PREBUILT` - the address of the archives: `https:`, `file:` or a folder. Before `config :wasmex, prebuilt:`.
    * `WASMEX_BUILD` - `1` builds with cargo, whatever there is.
    * `CARGO_TARGET_DIR` - where cargo keeps what it compiles. Default: `wasmex/target` in the
      user's cache, so that wasmtime is compiled once for all projects and Mix environments.
    * `CARGO_BUILD_TARGET`, `RUSTFLAGS` - as cargo has them. A change builds the library again.

  ## Errors

  A missing cargo, or one that fails, stops the compilation with one sentence; what cargo had to say
  stands above it.
  """

  use Mix.Task.Compiler

  alias Wasmex.Build.Prebuilt

  # Mix runs a compiler in the folder of its own project, also when that is somebody's dependency,
  # so every path here is relative to it.
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

  # Without a network or an archive there is still cargo; an archive that is not the package's own ends it all.
  defp prebuilt do
    case Prebuilt.fetch() do
      {:ok, digest, files} -> take(digest, files)
      {:none, why} -> build(why)
      {:error, why} -> Mix.raise("the prebuilt native library: #{why}")
    end
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
  def clean do
    Enum.each([installed(library()), installed(helper()), @stamp], &File.rm/1)
  end

  defp current? do
    Enum.all?(products(), &File.regular?(installed(&1))) and
      File.read(@stamp) in [{:ok, digest()} | prebuilt_now()]
  end

  # What the stamp is when the archive of this package's list is installed.
  defp prebuilt_now do
    with true <- env("WASMEX_BUILD") != "1",
         {:ok, name} <- Prebuilt.name(),
         {:ok, digest} <- Prebuilt.digest(name),
         do: [{:ok, prebuilt_stamp(digest)}],
         else: (_ -> [])
  end

  defp build(why_no_archive) do
    # Taken before cargo runs: a file saved meanwhile is then seen by the next compilation.
    digest = digest()
    cargo = System.find_executable("cargo") || Mix.raise(missing_cargo(why_no_archive))

    Mix.shell().info(
      "Compiling the native library with cargo (wasmtime included): " <>
        "some minutes the first time, kept in #{target_dir()}"
    )

    # One at a time: together cargo would build wasmtime once for both, and the helper with all of its runtime.
    for product <- products() do
      cargo!(cargo, product)
      install!(product, &copy!(product, &1))
    end

    File.write!(@stamp, digest)

    # Where links are not to be had (Windows), Mix copies priv, and it did so before cargo ran.
    Mix.Project.build_structure()
    {:ok, []}
  end

  defp products, do: if(env("WASMEX_COMPILER_PATH"), do: [library()], else: [library(), helper()])

  # The package, what it is called in messages, the file that cargo makes, and its name in priv.
  # `:erlang.load_nif/2` appends the extension itself: `.dll` on Windows, `.so` elsewhere, macOS too.
  defp library do
    name = if windows?(), do: "wasmex.dll", else: "wasmex.so"
    %{package: "wasmex", description: "native library", built: built_name(), installed: name}
  end

  defp helper do
    name = if windows?(), do: "wasmex-compiler.exe", else: "wasmex-compiler"
    %{package: "wasmex-compiler", description: "compiler helper", built: name, installed: name}
  end

  defp cargo!(cargo, product) do
    # cargo gives no hash to the file name of what it links: another checkout that shares the target
    # folder writes the same file, and cargo would hand it to us as fresh. Without it, cargo must
    # link ours.
    Enum.each([built(product), Path.join([built_dir(), "deps", product.built])], &File.rm/1)

    # cargo reports on stderr. It is left alone, so that cargo itself sees what it writes to: a
    # progress bar and colours on a terminal, one plain line per crate in a pipe or a log.
    case System.cmd(cargo, cargo_args(product), env: cargo_env(), into: IO.stream()) do
      {_, 0} ->
        :ok

      {_, status} ->
        Mix.raise("cargo could not build the #{product.description} (status #{status})")
    end
  end

  defp cargo_args(product) do
    locked = if File.regular?(@lock), do: ["--locked"], else: []
    ["build", "--release", "--package", product.package] ++ locked
  end

  defp cargo_env do
    [{"CARGO_TARGET_DIR", target_dir()}] ++ rustflags()
  end

  # On musl rustc links statically unless told otherwise, and then there is no shared library.
  defp rustflags do
    if architecture() =~ "musl" and env("RUSTFLAGS") == nil,
      do: [{"RUSTFLAGS", "-C target-feature=-crt-static"}],
      else: []
  end

  # A running VM may have the old file mapped: it keeps the old file, the name gets the new one.
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
      Mix.raise("cargo left no #{product.description} at #{built(product)}")

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

  # The architecture is in it because a checkout gets copied, from a Mac into a container say, and
  # the library with it.
  defp digest do
    files =
      for pattern <- [@lock | @sources], path <- Path.wildcard(pattern), do: {path, hash!(path)}

    inputs =
      {files, architecture(), Enum.map(products(), &cargo_args/1), Enum.map(@settings, &env/1)}

    inputs |> inspect(limit: :infinity, printable_limit: :infinity) |> hash()
  end

  defp hash!(path), do: path |> File.read!() |> hash()

  # Not a matter of security, and MD5 needs no application beside erts.
  defp hash(binary), do: binary |> :erlang.md5() |> Base.encode16(case: :lower)

  defp architecture, do: to_string(:erlang.system_info(:system_architecture))

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
