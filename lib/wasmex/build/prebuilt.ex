defmodule Wasmex.Build.Prebuilt do
  @moduledoc false
  # The prebuilt native library: an archive for each platform, at a location configured by the project or the
  # environment, for exactly this version of the package. Its digest must be the one in the package's list,
  # `native/checksums.txt`: an archive that is not listed is never used, and a different digest is an error.
  #
  # Used by the Mix compiler; all paths are relative to its folder.

  alias Wasmex.Build.{Download, Features, Platform}

  @checksums "native/checksums.txt"

  # The NIF version, see native/wasmex/Cargo.toml.
  @nif "2.16"

  @type product :: %{installed: String.t()}

  @doc """
  The files of the archive by name, from the cache or the location. `{:none, why}` if there is no archive.
  """
  @spec fetch([atom()]) ::
          {:ok, digest :: String.t(), %{String.t() => binary()}}
          | {:none, String.t()}
          | {:error, String.t()}
  def fetch(features \\ Features.all()) do
    with {:ok, name} <- name(features),
         {:ok, digest} <- digest(name),
         {:ok, bytes} <- bytes(name, digest),
         {:ok, files} <- unpack(name, bytes),
         do: {:ok, digest, files}
  end

  @doc "Whether the project or the environment says where archives are."
  @spec configured?() :: boolean()
  def configured?, do: location() != nil

  @doc "The name of the archive for this platform, with these features."
  @spec name([atom()]) :: {:ok, String.t()} | {:none, String.t()}
  def name(features \\ Features.all()),
    do: with({:ok, target} <- Platform.target(), do: {:ok, name(target, features)})

  @doc "The same for a platform."
  @spec name(String.t(), [atom()]) :: String.t()
  def name(target, features),
    do: "wasmex-#{version()}-nif-#{@nif}-#{target}#{Features.suffix(features)}.tar.gz"

  defp version, do: Mix.Project.config()[:version]

  @doc "The digest of an archive in the package's list."
  @spec digest(String.t()) :: {:ok, String.t()} | {:none, String.t()}
  def digest(name) do
    with {:ok, text} <- File.read(@checksums),
         digest when digest != nil <- find(text, name) do
      {:ok, digest}
    else
      {:error, _} -> {:none, "this package has no prebuilt libraries (no #{@checksums})"}
      nil -> {:none, "the package has no archive #{name}"}
    end
  end

  # The format of `sha256sum`.
  defp find(text, name) do
    Enum.find_value(String.split(text, "\n", trim: true), fn line ->
      with [digest, ^name] <- String.split(line), do: digest, else: (_ -> nil)
    end)
  end

  defp bytes(name, digest) do
    kept = :user_cache |> :filename.basedir("wasmex") |> Path.join("prebuilt") |> Path.join(name)

    with {:ok, bytes} <- File.read(kept),
         :ok <- verify(name, bytes, digest) do
      {:ok, bytes}
    else
      _ -> download(name, digest, kept)
    end
  end

  defp download(name, digest, kept) do
    with {:ok, base} <- base(),
         {:ok, bytes} <- get(base, name),
         :ok <- verify("#{base}/#{name}", bytes, digest) do
      keep(kept, bytes)
      {:ok, bytes}
    end
  end

  # If the cache cannot be written, the next build downloads again.
  defp keep(path, bytes) do
    temporary = "#{path}.#{System.pid()}.tmp"

    with :ok <- File.mkdir_p(Path.dirname(path)),
         :ok <- File.write(temporary, bytes),
         do: File.rename(temporary, path)
  end

  defp base do
    case location() do
      nil -> {:none, "no address is configured (config :wasmex, prebuilt: or WASMEX_PREBUILT)"}
      base -> {:ok, String.trim_trailing(base, "/")}
    end
  end

  defp location do
    case System.get_env("WASMEX_PREBUILT") || Application.get_env(:wasmex, :prebuilt) do
      base when is_binary(base) and base != "" -> base
      _ -> nil
    end
  end

  defp get("https://" <> _ = base, name),
    do:
      Download.get("#{base}/#{name}", Download.settings(), fn text -> Mix.shell().info(text) end)

  defp get("http://" <> _ = base, _name),
    do: {:error, "#{base}: only https: and file: URLs and folders are supported"}

  defp get("file:" <> _ = url, name), do: get(folder(url), name)

  # Mix compiles a dependency in its own folder, which is not the one that a relative path was written for.
  defp get(folder, name) do
    if Path.type(folder) == :absolute,
      do: read(Path.join(folder, name)),
      else:
        {:error,
         "#{folder}: a folder must have an absolute path, for example " <>
           ~s|Path.expand("../native", __DIR__) in config/config.exs|}
  end

  # file:///srv/archives, file:/srv/archives, file://localhost/srv/archives; file:///C:/archives on Windows.
  defp folder(url) do
    path = URI.decode(URI.parse(url).path || "/")
    if path =~ ~r"^/[A-Za-z]:", do: String.trim_leading(path, "/"), else: path
  end

  defp read(path) do
    with {:error, posix} <- File.read(path),
         do: {:none, "can't read #{path}: #{:file.format_error(posix)}"}
  end

  defp verify(what, bytes, digest) do
    found = :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

    if found == digest,
      do: :ok,
      else:
        {:error,
         "#{what} is not the archive of this package: its SHA-256 is #{found}, the package has #{digest}"}
  end

  defp unpack(name, bytes) do
    case :erl_tar.extract({:binary, bytes}, [:memory, :compressed]) do
      {:ok, files} -> {:ok, Map.new(files, fn {file, bytes} -> {Path.basename(file), bytes} end)}
      {:error, reason} -> {:error, "#{name} can't be unpacked: #{:erl_tar.format_error(reason)}"}
    end
  end
end
