defmodule Wasmex.Build.Prebuilt do
  @moduledoc false
  # The prebuilt native library: an archive for each platform, at a location configured by the project or the
  # environment, for exactly this version of the package. Its digest must be the one in the package's list,
  # `native/checksums.txt`: an archive that is not listed is never used, and a different digest is an error.
  #
  # Used by the Mix compiler; all paths are relative to its folder.

  # Of :inets, which only the build needs.
  @compile {:no_warn_undefined, :httpc}

  @checksums "native/checksums.txt"

  # The NIF version, see native/wasmex/Cargo.toml.
  @nif "2.16"

  @type product :: %{installed: String.t()}

  @doc """
  The files of the archive by name, from the cache or the location. `{:none, why}` if there is no archive.
  """
  @spec fetch() ::
          {:ok, digest :: String.t(), %{String.t() => binary()}}
          | {:none, String.t()}
          | {:error, String.t()}
  def fetch do
    with {:ok, name} <- name(),
         {:ok, digest} <- digest(name),
         {:ok, bytes} <- bytes(name, digest),
         {:ok, files} <- unpack(name, bytes),
         do: {:ok, digest, files}
  end

  @doc "The archive's name for this platform."
  @spec name() :: {:ok, String.t()} | {:none, String.t()}
  def name do
    with {:ok, target} <- target(:erlang.system_info(:system_architecture)),
         do: {:ok, name(target)}
  end

  @doc "The archive's name for a platform."
  @spec name(String.t()) :: String.t()
  def name(target), do: "wasmex-#{version()}-nif-#{@nif}-#{target}.tar.gz"

  defp version, do: Mix.Project.config()[:version]

  @doc "The platform for Erlang's name of it."
  @spec target(charlist()) :: {:ok, String.t()} | {:none, String.t()}
  def target(architecture) do
    text = to_string(architecture)
    [processor | _] = String.split(text, "-")

    processor =
      case processor do
        "amd64" -> "x86_64"
        "arm64" -> "aarch64"
        # Erlang on Windows reports no more than this.
        "win32" -> "x86_64"
        other -> other
      end

    system =
      cond do
        text =~ "linux" and text =~ "musl" -> "linux-musl"
        text =~ "linux" and text =~ "gnu" -> "linux-gnu"
        text =~ "darwin" -> "macos"
        text =~ "windows" or text == "win32" -> "windows-gnu"
        true -> nil
      end

    if system != nil and processor in ["x86_64", "aarch64"],
      do: {:ok, "#{processor}-#{system}"},
      else: {:none, "there is no archive for #{text}"}
  end

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
    case System.get_env("WASMEX_PREBUILT") || Application.get_env(:wasmex, :prebuilt) do
      base when is_binary(base) and base != "" -> {:ok, String.trim_trailing(base, "/")}
      _ -> {:none, "no address is configured (config :wasmex, prebuilt: or WASMEX_PREBUILT)"}
    end
  end

  defp get("file://" <> folder, name), do: read(URI.decode(folder), name)
  defp get("https://" <> _ = base, name), do: request("#{base}/#{name}")

  defp get("http://" <> _ = base, _name),
    do: {:error, "#{base}: only https: and file: URLs and folders are supported"}

  defp get(folder, name), do: read(folder, name)

  defp read(folder, name) do
    path = Path.join(folder, name)

    with {:error, posix} <- File.read(path),
         do: {:none, "can't read #{path}: #{:file.format_error(posix)}"}
  end

  defp request(url) do
    for application <- [:inets, :ssl], do: start!(application)
    proxy()

    tls = [
      verify: :verify_peer,
      cacerts: :public_key.cacerts_get(),
      depth: 4,
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]

    options = [ssl: tls, timeout: 300_000, connect_timeout: 20_000, autoredirect: true]

    request = [:get, {String.to_charlist(url), []}, options, [body_format: :binary]]

    # Of an application that is only started when needed.
    case apply(:httpc, :request, request) do
      {:ok, {{_, 200, _}, _headers, body}} -> {:ok, body}
      {:ok, {{_, status, _}, _headers, _body}} -> {:none, "#{url}: status #{status}"}
      {:error, reason} -> {:none, "#{url}: #{inspect(reason, limit: 10)}"}
    end
  end

  # Elixir 1.15 and later remove applications from the code path that a project does not list.
  defp start!(application) do
    if function_exported?(Mix, :ensure_application!, 1),
      do: apply(Mix, :ensure_application!, [application])

    {:ok, _} = Application.ensure_all_started(application)
  end

  defp proxy do
    with address when address not in [nil, ""] <-
           System.get_env("HTTPS_PROXY") || System.get_env("https_proxy"),
         %URI{host: host, port: port} when is_binary(host) <- URI.parse(address),
         do:
           apply(:httpc, :set_options, [
             [https_proxy: {{String.to_charlist(host), port || 80}, []}]
           ])
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
