defmodule Wasmex.Telemetry do
  @moduledoc """
  What the library tells about its work: spans, as `:telemetry` or to a function of yours.

  Every span has the events `[:wasmex, name, :start]` and `[:wasmex, name, :stop]`, or `:exception`
  when something raised inside it.

  | span | around | metadata |
  |---|---|---|
  | `:compile` | `Wasmex.Module.compile/2` | `:size` of the bytes |
  | `:instantiate` | `Wasmex.Instance.new/5`, `Wasmex.Template.instantiate/3`, the same of `Wasmex.Components` | |
  | `:call` | `Wasmex.Instance.call/4`, `Wasmex.call_function/4`, the same of `Wasmex.Components` | `:instance`, `:function` (a name, or the list of names on the way to it) |
  | `:import` | an Elixir function that a guest calls | `:namespace`, `:name` |
  | `:run` | a program: `Wasmex.run/3`, `Wasmex.stream!/3`, `Wasmex.Program` | `:program`, `:args` |

  Measurements: `:start` has `:system_time` and `:monotonic_time`, the others `:duration` and
  `:monotonic_time`, all in native units (`System.convert_time_unit/3`). `:stop` has in its metadata
  `:result`, `:ok` or `:error`, and then `:error`, the exception; `:exception` has `:kind`, `:reason`
  and `:stacktrace`. `:run` has also the measurements `:fuel_used` and `:peak_memory`.

  ## What is on

  With `:telemetry` among your dependencies `:compile`, `:instantiate` and `:run` are on. `:call` and
  `:import` take less time than an event does, so they wait to be asked for:

      config :wasmex, telemetry: [:compile, :instantiate, :run, :call]   # or true, or false

  or, at run time, `enable/2`. What is off costs the reading of one flag.

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

  @spans [:compile, :instantiate, :call, :import, :run]
  @default [:compile, :instantiate, :run]

  @type span :: :compile | :instantiate | :call | :import | :run
  @type handler :: ([atom()], map(), map() -> any())

  @doc """
  Turns spans on, in the whole VM. Option: `:handler`, a function of event, measurements and metadata;
  by default `:telemetry.execute/3`, and an error where there is no `:telemetry`.
  """
  @spec enable([span()], keyword()) :: :ok
  def enable(spans \\ @spans, opts \\ []) do
    opts = Wasmex.Utils.options!(opts, [:handler])

    for span <- spans, span not in @spans do
      raise ArgumentError, "unknown span #{inspect(span)}; the spans are #{inspect(@spans)}"
    end

    handler = opts[:handler] || default_handler()
    :persistent_term.put(__MODULE__, Map.new(spans, &{&1, handler}))
  end

  defp default_handler do
    if available?(),
      do: Function.capture(:telemetry, :execute, 3),
      else: raise(ArgumentError, "there is no :telemetry here: give a handler: function")
  end

  defp available?, do: Code.ensure_loaded?(:telemetry)

  @doc "Turns all spans off."
  @spec disable() :: :ok
  def disable do
    :persistent_term.erase(__MODULE__)
    :ok
  end

  @doc false
  # As the project's configuration wants it, when the application starts.
  def configure do
    case Application.get_env(:wasmex, :telemetry) do
      nil -> if available?(), do: enable(@default), else: :ok
      false -> :ok
      true -> enable(@spans)
      spans when is_list(spans) -> enable(spans)
    end
  end

  @doc false
  def on?(span), do: is_map_key(:persistent_term.get(__MODULE__, %{}), span)

  @doc false
  # The beginning of a span, to be handed to `stop/3`; nil when it is off.
  def start(span, metadata) do
    case :persistent_term.get(__MODULE__, %{}) do
      %{^span => handler} ->
        now = System.monotonic_time()
        times = %{monotonic_time: now, system_time: System.system_time()}
        handler.([:wasmex, span, :start], times, metadata)
        {handler, span, now, metadata}

      _ ->
        nil
    end
  end

  @doc false
  def stop(started, result, measurements \\ %{})
  def stop(nil, result, _measurements), do: result

  def stop({handler, span, start, metadata}, result, measurements) do
    outcome =
      case result do
        {:error, error} -> %{result: :error, error: error}
        _ -> %{result: :ok}
      end

    handler.(
      [:wasmex, span, :stop],
      Map.merge(measurements, since(start)),
      Map.merge(metadata, outcome)
    )

    result
  end

  @doc false
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
