defmodule Mix.Tasks.Compile.WasmexNif do
  @moduledoc """
  Builds the native library with cargo.

  The library lands in `priv/native/`, where `Wasmex.Native` loads it. Beside it a stamp holds a
  digest of all it was built from; while that digest stays the same neither cargo nor rustc is
  started. `mix clean` removes both, `mix compile --force` does not: cargo knows best what is stale.

  ## Environment

    * `WASMEX_NIF_PATH` - a prebuilt library to load. Nothing is built, no Rust is needed.
    * `CARGO_TARGET_DIR` - where cargo keeps what it compiles. Default: `wasmex/target` in the
      user's cache, so that wasmtime is compiled once for all projects and Mix environments.
    * `CARGO_BUILD_TARGET`, `RUSTFLAGS` - as cargo has them. A change builds the library again.

  ## Errors

  A missing cargo, or one that fails, stops the compilation with one sentence; what cargo had to say
  stands above it.
  """

  use Mix.Task.Compiler

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
      true -> build()
    end
  end

  @impl true
  def clean do
    Enum.each([library(), @stamp], &File.rm/1)
  end

  defp current? do
    File.regular?(library()) and File.read(@stamp) == {:ok, digest()}
  end

  defp build do
    # Taken before cargo runs: a file saved meanwhile is then seen by the next compilation.
    digest = digest()
    cargo!()
    install!()
    File.write!(@stamp, digest)

    # Where links are not to be had (Windows), Mix copies priv, and it did so before cargo ran.
    Mix.Project.build_structure()
    {:ok, []}
  end

  defp cargo! do
    cargo = System.find_executable("cargo") || Mix.raise(missing_cargo())

    Mix.shell().info(
      "Compiling the native library with cargo (wasmtime included): " <>
        "some minutes the first time, kept in #{target_dir()}"
    )

    # cargo gives no hash to the file name of this library: another checkout that shares the target
    # folder writes the same file, and cargo would hand it to us as fresh. Without it, cargo must
    # link ours.
    Enum.each([built_library(), Path.join([built_dir(), "deps", built_name()])], &File.rm/1)

    # cargo reports on stderr. It is left alone, so that cargo itself sees what it writes to: a
    # progress bar and colours on a terminal, one plain line per crate in a pipe or a log.
    case System.cmd(cargo, cargo_args(), env: cargo_env(), into: IO.stream()) do
      {_, 0} -> :ok
      {_, status} -> Mix.raise("cargo could not build the native library (status #{status})")
    end
  end

  defp cargo_args do
    locked = if File.regular?(@lock), do: ["--locked"], else: []
    ["build", "--release", "--package", "wasmex"] ++ locked
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

  # A running VM may have the old library mapped: it keeps the old file, the name gets the new one.
  defp install! do
    File.mkdir_p!(@native)
    temporary = "#{library()}.#{System.pid()}"

    File.regular?(built_library()) || Mix.raise("cargo left no library at #{built_library()}")

    try do
      File.cp!(built_library(), temporary)
      File.rename!(temporary, library())
    after
      File.rm(temporary)
    end
  end

  # `:erlang.load_nif/2` appends the extension itself: `.dll` on Windows, `.so` elsewhere, macOS too.
  defp library do
    Path.join(@native, if(windows?(), do: "wasmex.dll", else: "wasmex.so"))
  end

  defp built_library, do: Path.join(built_dir(), built_name())

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

    inputs = {files, architecture(), cargo_args(), Enum.map(@settings, &env/1)}
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

  defp missing_cargo do
    "Wasmex builds its native library with Rust's cargo, which was not found; install it with: " <>
      install_command()
  end

  defp install_command do
    if windows?(),
      do: "winget install Rustlang.Rustup",
      else: "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  end
end
