defmodule Wasmex.Build.Download do
  @moduledoc false
  # Downloads an archive over HTTPS, with the HTTP client of Erlang/OTP.
  #
  # The server's certificate is verified, although the archive's digest is verified too: what is fetched, and by whom,
  # is nobody else's business. Redirects are followed to other `https:` URLs only. Failures of the network and of the
  # server (5xx, 429, a body that ends early) are tried again.

  # Of applications that only the build needs.
  @compile {:no_warn_undefined, [:httpc, :inets]}

  @redirects 5
  @attempts 3
  # Several times the size of an archive.
  @most 256_000_000
  @connect_timeout 20_000
  # Between two pieces of a body.
  @idle_timeout 60_000

  @profile :wasmex_build

  defmodule Settings do
    @moduledoc false
    # How to reach servers: the trusted certificates (a PEM file, nil for the system's), the proxy, and the pause before
    # another attempt, in milliseconds.
    defstruct cacerts: nil, proxy: nil, no_proxy: [], pause: 500

    @type t :: %__MODULE__{
            cacerts: Path.t() | nil,
            proxy: URI.t() | nil,
            no_proxy: [String.t()],
            pause: non_neg_integer()
          }
  end

  @doc "The settings of the project and the environment."
  @spec settings((String.t() -> String.t() | nil), Path.t() | nil) :: Settings.t()
  def settings(
        environment \\ &System.get_env/1,
        configured \\ Application.get_env(:wasmex, :prebuilt_cacerts)
      ) do
    first = fn names ->
      Enum.find_value(names, fn name ->
        case environment.(name) do
          "" -> nil
          value -> value
        end
      end)
    end

    %Settings{
      cacerts: first.(["WASMEX_CACERTS_PATH"]) || configured || first.(["HEX_CACERTS_PATH"]),
      proxy: proxy(first.(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])),
      no_proxy: no_proxy(first.(["NO_PROXY", "no_proxy"]))
    }
  end

  @doc """
  The body at a URL. `report` is called with a line of text before longer waits.
  """
  @spec get(String.t(), Settings.t(), (String.t() -> any())) ::
          {:ok, binary()} | {:none, String.t()}
  def get(url, settings, report) do
    with {:ok, certificates} <- certificates(settings.cacerts) do
      for application <- [:inets, :ssl], do: start!(application)
      start_profile(settings)

      try do
        attempt(url, %{settings: settings, certificates: certificates, report: report}, 1)
      after
        :inets.stop(:httpc, @profile)
      end
    end
  end

  defp attempt(url, context, number) do
    case follow(url, context, @redirects) do
      {:again, why} when number < @attempts ->
        context.report.("#{why}; trying again")
        Process.sleep(context.settings.pause * number)
        attempt(url, context, number + 1)

      {:again, why} ->
        {:none, why}

      result ->
        result
    end
  end

  defp follow(url, context, left) do
    case request(url, context) do
      {:redirect, _to} when left == 0 -> {:none, "#{url}: more than #{@redirects} redirects"}
      {:redirect, "https://" <> _ = to} -> follow(to, context, left - 1)
      {:redirect, to} -> {:none, "#{url}: redirects to #{to}, which is not an https: URL"}
      result -> result
    end
  end

  defp request(url, context) do
    %URI{host: host} = URI.parse(url)

    options =
      [
        ssl: tls(String.to_charlist(host), context.certificates),
        timeout: :infinity,
        connect_timeout: @connect_timeout,
        # Followed here.
        autoredirect: false
      ] ++ proxy_auth(context.settings.proxy)

    # A connection that the server is about to close must not be used again.
    headers = [{~c"user-agent", ~c"wasmex"}, {~c"connection", ~c"close"}]
    request = {String.to_charlist(url), headers}

    case :httpc.request(:get, request, options, [sync: false, stream: :self], @profile) do
      {:ok, id} -> receive_start(id, url, context)
      {:error, reason} -> {:again, failure(url, reason)}
    end
  end

  # Only bodies of status 200 and 206 are streamed.
  defp receive_start(id, url, context) do
    receive do
      {:http, {^id, :stream_start, headers}} ->
        expected = length_of(headers)
        context.report.("Downloading #{url}#{size(expected)}")
        receive_body(id, url, expected, {[], 0})

      {:http, {^id, {{_, status, _}, headers, _body}}} ->
        answered(url, status, headers)

      {:http, {^id, {:error, reason}}} ->
        failed(url, reason)
    after
      @connect_timeout + @idle_timeout ->
        cancel(id)
        {:again, "#{url}: no answer"}
    end
  end

  defp receive_body(id, url, _expected, {_pieces, size}) when size > @most do
    cancel(id)
    {:none, "#{url}: more than #{@most} bytes"}
  end

  defp receive_body(id, url, expected, {pieces, size}) do
    receive do
      {:http, {^id, :stream, piece}} ->
        receive_body(id, url, expected, {[pieces, piece], size + byte_size(piece)})

      {:http, {^id, :stream_end, _headers}} when expected in [nil, size] ->
        {:ok, IO.iodata_to_binary(pieces)}

      {:http, {^id, :stream_end, _headers}} ->
        {:again, "#{url}: #{size} bytes of #{expected}"}

      {:http, {^id, {:error, reason}}} ->
        {:again, "#{failure(url, reason)} after #{size} bytes#{of(expected)}"}
    after
      @idle_timeout ->
        cancel(id)
        {:again, "#{url}: nothing more after #{size} bytes#{of(expected)}"}
    end
  end

  defp answered(url, status, headers) when status in [301, 302, 303, 307, 308] do
    case List.keyfind(headers, ~c"location", 0) do
      {_, location} -> {:redirect, to_string(URI.merge(url, to_string(location)))}
      nil -> {:none, "#{url}: status #{status} without a location"}
    end
  rescue
    _ in [ArgumentError, URI.Error] -> {:none, "#{url}: redirects to an invalid URL"}
  end

  defp answered(url, status, _headers) when status >= 500 or status == 429,
    do: {:again, "#{url}: status #{status}"}

  defp answered(url, status, _headers), do: {:none, "#{url}: status #{status}"}

  # A certificate that is not trusted stays so.
  defp failed(url, reason) do
    text = failure(url, reason)

    if text =~ "tls_alert" or text =~ "TLS",
      do: {:none, text},
      else: {:again, text}
  end

  defp failure(url, {:failed_connect, details}) do
    case List.keyfind(details, :inet, 0) || List.keyfind(details, :inet6, 0) do
      {_, _, {:tls_alert, {_, text}}} ->
        "#{url}: #{text |> to_string() |> String.replace(~r/\s+/, " ") |> String.trim()}"

      {_, _, reason} when is_atom(reason) ->
        "#{url}: can't connect (#{:inet.format_error(reason)})"

      _ ->
        "#{url}: can't connect (#{inspect(details, limit: 10)})"
    end
  end

  defp failure(url, reason)
       when reason in [:socket_closed_remotely, {:shutdown, :server_closed}],
       do: "#{url}: the server closed the connection"

  defp failure(url, reason), do: "#{url}: #{inspect(reason, limit: 10)}"

  # Otherwise pieces of a cancelled request would stay in the mailbox of the process that builds.
  defp cancel(id) do
    :httpc.cancel_request(id, @profile)
    flush(id)
  end

  defp flush(id) do
    receive do
      {:http, message} when elem(message, 0) == id -> flush(id)
    after
      0 -> :ok
    end
  end

  # Only shown. This file uses no others of the library, which is not compiled yet.
  defp length_of(headers) do
    with {_, text} <- List.keyfind(headers, ~c"content-length", 0),
         {length, ""} <- Integer.parse(to_string(text)),
         do: length,
         else: (_ -> nil)
  end

  defp size(nil), do: ""
  defp size(bytes), do: " (#{Float.round(bytes / 1_000_000, 1)} MB)"
  defp of(nil), do: ""
  defp of(bytes), do: " of #{bytes}"

  # With a host name of its own, since through a proxy the connection is to another host.
  defp tls(host, certificates) do
    [
      verify: :verify_peer,
      cacerts: certificates,
      depth: 4,
      server_name_indication: host,
      # What fails is reported here.
      log_level: :none,
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]
  end

  defp certificates(nil) do
    {:ok, :public_key.cacerts_get()}
  rescue
    _ -> {:none, "this system has no CA certificates; name a PEM file in WASMEX_CACERTS_PATH"}
  end

  defp certificates(path) do
    with {:ok, pem} <- File.read(path),
         [_ | _] = certificates <-
           for({:Certificate, der, :not_encrypted} <- :public_key.pem_decode(pem), do: der) do
      {:ok, certificates}
    else
      {:error, posix} -> {:none, "can't read #{path}: #{:file.format_error(posix)}"}
      [] -> {:none, "there is no certificate in #{path}"}
    end
  end

  # A profile of its own: the proxy of the default one is a matter of the project.
  defp start_profile(%Settings{proxy: proxy, no_proxy: no_proxy}) do
    case :inets.start(:httpc, profile: @profile) do
      {:ok, _pid} -> :ok
      {:error, {:already_started, _pid}} -> :ok
    end

    :ok = :httpc.set_options([ipfamily: :inet6fb4] ++ https_proxy(proxy, no_proxy), @profile)
  end

  defp https_proxy(nil, _no_proxy), do: []

  defp https_proxy(%URI{host: host, port: port}, no_proxy) do
    [
      https_proxy: {
        {String.to_charlist(host), port || 80},
        Enum.map(no_proxy, &String.to_charlist/1)
      }
    ]
  end

  defp proxy(nil), do: nil

  defp proxy(address) do
    address = if address =~ "://", do: address, else: "http://" <> address

    case URI.parse(address) do
      %URI{host: host} = uri when is_binary(host) and host != "" -> uri
      _ -> nil
    end
  end

  defp proxy_auth(%URI{userinfo: info}) when is_binary(info) do
    [user | password] = String.split(info, ":", parts: 2)
    [proxy_auth: {charlist(user), charlist(Enum.join(password))}]
  end

  defp proxy_auth(_), do: []

  defp charlist(text), do: text |> URI.decode() |> String.to_charlist()

  # A domain includes its subdomains.
  defp no_proxy(nil), do: []

  defp no_proxy(text) do
    for host <- String.split(text, [",", " "], trim: true), pattern <- patterns(host), do: pattern
  end

  defp patterns("." <> domain), do: ["*." <> domain]
  defp patterns("*" <> _ = pattern), do: [pattern]
  defp patterns(host), do: if(host =~ ~r/^[\d.:\[\]\/]+$/, do: [host], else: [host, "*." <> host])

  # Elixir 1.15 and later remove applications from the code path that a project does not list.
  defp start!(application) do
    if function_exported?(Mix, :ensure_application!, 1),
      do: apply(Mix, :ensure_application!, [application])

    {:ok, _} = Application.ensure_all_started(application)
  end
end
