defmodule Wasmex.Telemetry do
  @moduledoc """
  Telemetry spans for the library's work, as `:telemetry` events or passed to a function.

  Every span has the events `[:wasmex, name, :start]` and `[:wasmex, name, :stop]`, or `:exception`
  when the code inside it raised.

  | span | around | metadata |
  |---|---|---|
  | `:compile` | `Wasmex.Module.compile/2` | `:size` of the bytes |
  | `:instantiate` | `Wasmex.Instance.new/5`, `Wasmex.Template.instantiate/3`, and their counterparts in `Wasmex.Components` | |
  | `:call` | `Wasmex.Instance.call/4`, `Wasmex.call_function/4`, and their counterparts in `Wasmex.Components` | `:instance`, `:function` (a name or a path) |
  | `:import` | an Elixir function that a guest calls | `:namespace`, `:name` |
  | `:checkout` | the wait for a place in a `Wasmex.Pool`, and creating its worker if needed | `:pool`, `:key` |
  | `:run` | a program: `Wasmex.run/3`, `Wasmex.stream!/3`, `Wasmex.Program` | `:program`, `:args`; `:status`, the exit status, when it stops |
  | `:http` | a request to `Wasmex.HTTP.Server` or `Wasmex.Plug` | `:method`, `:path` and `:mount` (the path of the plug before it), `:scheme`, `:remote_addr`, `:function` (nil if there is none of this name); `:status` when it stops |

  The spans `:instantiate`, `:call` and `:run` also have `:tags`, those of the store (`Wasmex.Store.tag/2`) or of the
  option `:tags` of `Wasmex.start_link/1`, `Wasmex.Components.start_link/1`, `Wasmex.Pool.start_link/1`,
  `Wasmex.Plugin.new/2` and `Wasmex.run/3`, and for modules `:module`, the name from the name section (of
  instances created while such a span is enabled). A call that passes bytes is one span, without those of the guest's allocator.

  Measurements: `:start` has `:system_time` and `:monotonic_time`, the others `:duration` and
  `:monotonic_time`, all in native units (`System.convert_time_unit/3`). `:stop` has in its metadata
  `:result`, `:ok` or `:error`, and for an error `:error`, the exception; `:exception` has `:kind`, `:reason`
  and `:stacktrace`. `:run` has also the measurements `:fuel_used` and `:peak_memory`. All events of a span have the same
  `:telemetry_span_context`, as those of `:telemetry.span/3`.

  ## Enabling spans

  If your project depends on `:telemetry`, the spans `:compile`, `:instantiate`, `:run` and `:http` are enabled. The
  spans `:call`, `:import` and `:checkout` cost more than a short call takes, so they must be enabled explicitly:

      config :wasmex, telemetry: [:compile, :instantiate, :run, :call]   # or true, or false

  or at run time with `enable/2`. A disabled span costs one `:persistent_term` read.

  ## Metrics

  With `:telemetry_metrics`, for example for the charts of Phoenix.LiveDashboard:

      [
        summary("wasmex.call.stop.duration", unit: {:native, :microsecond}, tags: [:function]),
        counter("wasmex.run.stop.duration", tags: [:program, :result]),
        last_value("wasmex.run.stop.peak_memory", unit: :byte),
        distribution("wasmex.http.stop.duration", unit: {:native, :millisecond}, tags: [:function, :status])
      ]

  `Wasmex.LiveDashboard` is a page for the same dashboard.

  ## OpenTelemetry

  `open_telemetry/2` returns the name and the attributes of a span after OpenTelemetry's semantic conventions. This
  handler uses the packages `opentelemetry_api`, `opentelemetry_telemetry` and `opentelemetry_process_propagator`:

      defmodule MyApp.WasmexSpans do
        alias OpenTelemetry.{Ctx, Span, Tracer}
        require Tracer

        def attach do
          events =
            for span <- [:compile, :instantiate, :call, :run, :http], event <- [:start, :stop, :exception],
                do: [:wasmex, span, event]

          :telemetry.attach_many(__MODULE__, events, &__MODULE__.handle_event/4, nil)
        end

        def handle_event([:wasmex, span, :start], _measurements, metadata, _config) do
          {name, attributes} = Wasmex.Telemetry.open_telemetry(span, metadata)
          kind = if span == :http, do: :server, else: :internal
          follow_caller(metadata)
          OpentelemetryTelemetry.start_telemetry_span(:my_app, name, metadata, %{kind: kind, attributes: attributes})
        end

        def handle_event([:wasmex, span, _stop_or_exception], _measurements, metadata, _config) do
          {name, attributes} = Wasmex.Telemetry.open_telemetry(span, metadata)
          context = OpentelemetryTelemetry.set_current_telemetry_span(:my_app, metadata)
          Span.update_name(context, name)
          Span.set_attributes(context, attributes)
          if type = attributes["error.type"], do: Span.set_status(context, OpenTelemetry.status(:error, type))
          OpentelemetryTelemetry.end_telemetry_span(:my_app, metadata)
          if Process.delete({__MODULE__, metadata.telemetry_span_context}), do: Ctx.clear()
        end

        # Wasmex.call_function/4 runs the guest in another process, whose `$callers` has the caller.
        defp follow_caller(metadata) do
          with :undefined <- Tracer.current_span_ctx(),
               parent when parent != :undefined <- OpentelemetryProcessPropagator.fetch_parent_ctx(1, :"$callers") do
            Ctx.attach(parent)
            Process.put({__MODULE__, metadata.telemetry_span_context}, true)
          end
        end
      end

  ## Example

      iex> test = self()
      iex> handler = fn event, _measurements, metadata -> send(test, {event, metadata[:size]}) end
      iex> Wasmex.Telemetry.enable([:compile], handler: handler)
      iex> Wasmex.Module.compile(Wasmex.Engine.default(), "(module)")
      iex> Wasmex.Telemetry.disable()
      iex> assert_received {[:wasmex, :compile, :start], 8}
      iex> assert_received {[:wasmex, :compile, :stop], 8}
  """

  @compile {:inline, on?: 1}

  alias Wasmex.Telemetry.Attributes

  @spans [:compile, :instantiate, :call, :import, :checkout, :run, :http]
  @default [:compile, :instantiate, :run, :http]

  @options Wasmex.Options.table(
             [
               handler: [
                 type: {:or, [nil], {:function, 3}},
                 doc: "a function of event, measurements and metadata"
               ]
             ],
             "Wasmex.Telemetry.enable/2"
           )

  @type span :: :compile | :instantiate | :call | :import | :checkout | :run | :http
  @type handler :: ([atom()], map(), map() -> any())

  @doc """
  Enables spans in the whole VM; already enabled ones stay enabled. Option: `:handler`, a function of event, measurements
  and metadata (default: `:telemetry.execute/3`; raises if `:telemetry` is not available).
  """
  @spec enable([span()], keyword()) :: :ok
  def enable(spans \\ @spans, opts \\ []) do
    opts = Wasmex.Options.new!(opts, @options)
    known!(spans)

    handler = opts.handler || default_handler()
    enabled = :persistent_term.get(__MODULE__, %{})
    put(Map.merge(enabled, Map.new(spans, &{&1, handler})), enabled)
  end

  # The native side is told whether calls have spans, so that those without need not ask.
  defp put(enabled, before) do
    :persistent_term.put(__MODULE__, enabled)

    if Map.has_key?(enabled, :call) != Map.has_key?(before, :call),
      do: Wasmex.Native.instance_observe_calls(on?(:call)),
      else: :ok
  end

  defp known!(spans) do
    unless is_list(spans) and Enum.all?(spans, &(&1 in @spans)),
      do: Wasmex.Options.misuse!("a list of spans out of #{inspect(@spans)}", spans)
  end

  defp default_handler do
    if available?(),
      do: Function.capture(:telemetry, :execute, 3),
      else: raise(ArgumentError, ":telemetry is not available: pass a handler: function")
  end

  defp available?, do: Code.ensure_loaded?(:telemetry)

  @doc "Disables all spans, or the given ones."
  @spec disable([span()]) :: :ok
  def disable(spans \\ @spans) do
    known!(spans)
    enabled = :persistent_term.get(__MODULE__, %{})
    put(Map.drop(enabled, spans), enabled)
  end

  @doc """
  The name of a span and its attributes, after the semantic conventions of OpenTelemetry: `http.request.method`,
  `http.route`, `code.function.name`, `process.executable.name`, `process.exit.code`, `error.type`, and `wasmex.tag.NAME`
  for the tags. `error.type` is there exactly if the span failed, and does not vary from one failure to the next.

      iex> Wasmex.Telemetry.open_telemetry(:http, %{method: "GET", path: "/goenv/x", mount: "/f", function: "goenv", status: 200})
      {"GET /f/goenv",
       %{
         "http.request.method" => "GET",
         "http.response.status_code" => 200,
         "http.route" => "/f/goenv",
         "url.path" => "/f/goenv/x"
       }}

      iex> Wasmex.Telemetry.open_telemetry(:call, %{module: "enrich", function: "add", tags: %{tenant: "a"}})
      {"enrich.add",
       %{
         "code.function.name" => "enrich.add",
         "wasmex.module" => "enrich",
         "wasmex.tag.tenant" => "a"
       }}
  """
  @spec open_telemetry(span(), map()) :: {String.t(), %{String.t() => term()}}
  def open_telemetry(span, metadata) do
    known!([span])
    {Attributes.name(span, metadata), Attributes.attributes(span, metadata)}
  end

  @doc false
  # Applies the project's configuration when the application starts.
  @spec configure() :: :ok
  def configure do
    case Application.get_env(:wasmex, :telemetry) do
      nil -> if available?(), do: enable(@default), else: :ok
      false -> :ok
      true -> enable(@spans)
      spans when is_list(spans) -> enable(spans)
    end
  end

  @doc false
  @spec on?(span()) :: boolean()
  def on?(span), do: is_map_key(:persistent_term.get(__MODULE__, %{}), span)

  @doc false
  # Whether instances need the names of their modules, for spans.
  @spec names?() :: boolean()
  def names? do
    enabled = :persistent_term.get(__MODULE__, %{})
    is_map_key(enabled, :call) or is_map_key(enabled, :instantiate)
  end

  @doc false
  # Starts a span and returns the argument for `stop/3`, or `nil` if the span is disabled.
  @spec start(span(), map()) :: tuple() | nil
  def start(span, metadata) do
    case :persistent_term.get(__MODULE__, %{}) do
      %{^span => handler} ->
        now = System.monotonic_time()
        times = %{monotonic_time: now, system_time: System.system_time()}
        metadata = Map.put(metadata, :telemetry_span_context, make_ref())
        handler.([:wasmex, span, :start], times, metadata)
        {handler, span, now, metadata}

      _ ->
        nil
    end
  end

  @doc false
  # With measurements and metadata that are only known at the end.
  @spec stop(tuple() | nil, result, map(), map()) :: result when result: term()
  def stop(started, result, measurements \\ %{}, more \\ %{})
  def stop(nil, result, _measurements, _more), do: result

  def stop({handler, span, start, metadata}, result, measurements, more) do
    outcome =
      case result do
        {:error, error} -> %{result: :error, error: error}
        _ -> %{result: :ok}
      end

    handler.(
      [:wasmex, span, :stop],
      Map.merge(measurements, since(start)),
      metadata |> Map.merge(more) |> Map.merge(outcome)
    )

    result
  end

  @doc false
  @spec exception(tuple() | nil, atom(), term(), Exception.stacktrace()) :: :ok
  def exception(nil, _kind, _reason, _stacktrace), do: :ok

  def exception({handler, span, start, metadata}, kind, reason, stacktrace) do
    raised = %{kind: kind, reason: reason, stacktrace: stacktrace}
    handler.([:wasmex, span, :exception], since(start), Map.merge(metadata, raised))
    :ok
  end

  defp since(start) do
    now = System.monotonic_time()
    %{duration: now - start, monotonic_time: now}
  end
end
