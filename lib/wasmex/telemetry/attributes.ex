defmodule Wasmex.Telemetry.Attributes do
  @moduledoc false
  # Names and attributes of spans after the semantic conventions of OpenTelemetry 1.30: `http.*` and `url.*` for requests,
  # `process.*` for programs, `code.*` for functions, `error.type` for failures. The rest is under `wasmex.`.

  @spec name(atom(), map()) :: String.t()
  def name(:http, %{method: method} = metadata), do: join([method(method), route(metadata)])
  def name(:call, metadata), do: join([metadata[:module], metadata.function], ".")
  def name(:import, metadata), do: join([metadata.namespace, metadata.name], ".")
  def name(:run, metadata), do: join(["run", metadata[:program]])
  def name(:instantiate, metadata), do: join(["instantiate", metadata[:module]])
  def name(span, _metadata), do: Atom.to_string(span)

  @spec attributes(atom(), map()) :: %{String.t() => term()}
  def attributes(span, metadata) do
    (of(span, metadata) ++ tags(metadata) ++ failure(span, metadata))
    |> Enum.reject(fn {_name, value} -> value in [nil, []] end)
    |> Map.new()
  end

  defp of(:http, metadata) do
    [
      {"http.request.method", method(metadata.method)},
      {"http.request.method_original", original(metadata.method)},
      {"http.response.status_code", metadata[:status]},
      {"http.route", route(metadata)},
      {"url.path", "#{metadata[:mount]}#{metadata.path}"},
      {"url.scheme", metadata[:scheme]},
      {"client.address", metadata[:remote_addr]}
    ]
  end

  defp of(:call, metadata),
    do: [{"code.function.name", name(:call, metadata)}, {"wasmex.module", metadata[:module]}]

  defp of(:import, metadata), do: [{"code.function.name", name(:import, metadata)}]

  defp of(:run, metadata),
    do: [
      {"process.executable.name", metadata[:program]},
      {"process.command_args", metadata[:args]},
      {"process.exit.code", metadata[:status]}
    ]

  defp of(:instantiate, metadata), do: [{"wasmex.module", metadata[:module]}]
  defp of(:compile, metadata), do: [{"wasmex.size", metadata[:size]}]

  defp of(:checkout, metadata),
    do: [{"wasmex.pool", process(metadata.pool)}, {"wasmex.key", text(metadata[:key])}]

  defp route(%{function: function} = metadata) when function != nil,
    do: "#{metadata[:mount]}/#{function}"

  defp route(_unknown), do: nil

  # Other methods could be as many as clients like.
  @methods ~w(GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH)
  defp method(method) when method in @methods, do: method
  defp method(_other), do: "_OTHER"
  defp original(method), do: if(method not in @methods, do: method)

  defp tags(%{tags: tags}) when is_map(tags),
    do: for({name, value} <- tags, do: {"wasmex.tag.#{text(name)}", text(value)})

  defp tags(_none), do: []

  # The name of a process, if it has one.
  defp process(pid) when is_pid(pid) and node(pid) == node() do
    case Process.info(pid, :registered_name) do
      {:registered_name, name} when is_atom(name) -> inspect(name)
      _ -> inspect(pid)
    end
  end

  defp process(pool), do: inspect(pool)

  # A status that is a failure is one of the conventions only.
  defp failure(:http, %{status: status}) when status >= 500,
    do: [{"error.type", to_string(status)}]

  defp failure(:run, %{status: status}) when status != 0, do: [{"error.type", to_string(status)}]
  defp failure(_span, metadata), do: failure(metadata)

  # A name that does not vary from one failure to the next.
  defp failure(%{error: %{reason: reason}}) when is_atom(reason),
    do: [{"error.type", to_string(reason)}]

  defp failure(%{error: %Wasmex.Trap{code: code}}), do: [{"error.type", to_string(code)}]
  defp failure(%{error: %module{}}), do: [{"error.type", inspect(module)}]
  defp failure(%{error: _text}), do: [{"error.type", "_OTHER"}]
  defp failure(%{reason: %module{}, kind: _}), do: [{"error.type", inspect(module)}]
  defp failure(%{kind: kind}), do: [{"error.type", to_string(kind)}]
  defp failure(_none), do: []

  # The types that attributes may have.
  defp text(value) when is_binary(value) or is_number(value) or is_boolean(value), do: value
  defp text(nil), do: nil
  defp text(value) when is_atom(value), do: Atom.to_string(value)
  defp text(value), do: inspect(value, limit: 10, printable_limit: 100)

  defp join(parts, separator \\ " "),
    do: parts |> Enum.reject(&(&1 in [nil, ""])) |> Enum.join(separator)
end
