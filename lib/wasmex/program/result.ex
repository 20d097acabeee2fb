defmodule Wasmex.Program.Result do
  @moduledoc false
  # Creates the `Wasmex.Run` of a program.

  alias Wasmex.{Exit, Native, Profile, Run, Store, StoreOrCaller, Telemetry}
  alias Wasmex.Program.{Entry, Session}

  @doc "Measures the run before its streams are closed."
  @spec measure(Session.t()) :: Run.t()
  def measure(%{store: store, options: options} = session) do
    duration = System.monotonic_time() - session.started

    run = %Run{
      duration: System.convert_time_unit(duration, :native, :microsecond),
      fuel_used: fuel_used(store, options.fuel),
      profile: profile(session),
      core_dump: core_dump(session)
    }

    # A store that is left may already be in use by another process.
    case session.store_after != :leave && Store.memory_peak(store) do
      {:ok, peak} -> %{run | peak_memory: peak}
      _unknown -> run
    end
  end

  defp fuel_used(_store, nil), do: nil

  defp fuel_used(store, fuel) do
    case StoreOrCaller.get_fuel(store) do
      {:ok, left} -> fuel - left
      {:error, _} -> nil
    end
  end

  defp profile(%{options: %{profile: false}}), do: nil

  defp profile(%{store: store, source: source}) do
    case Native.profile_finish(store.resource) do
      {:ok, {json, stacks}} -> %Profile{name: source.name, json: json, stacks: stacks}
      _ -> nil
    end
  end

  defp core_dump(%{options: %{core_dump: false}}), do: nil

  defp core_dump(%{store: store}) do
    case Native.core_dump_take(store.resource) do
      {:ok, dump} -> dump
      _ -> nil
    end
  end

  @doc "Adds the run to the result of the last call, or to an exception."
  @spec complete(term(), Run.t(), Entry.t()) :: Session.result()
  def complete({:ok, results}, run, entry) do
    case entry.complete.(results, run) do
      %Run{} = run -> {:ok, run}
      {:error, exception} -> {:error, %{exception | run: run}}
    end
  end

  def complete({:error, %Exit{status: status}}, run, _), do: {:ok, %{run | status: status}}
  def complete({:error, exception}, run, _), do: {:error, %{exception | run: run}}
  def complete(%{__exception__: true} = exception, run, _), do: {:error, %{exception | run: run}}
  def complete({_kind, _reason, _stacktrace} = raised, _run, _), do: {:raised, raised}

  @doc "Ends the telemetry span of the run and returns its result."
  @spec span(Session.result(), term(), Run.t()) :: Session.result()
  def span({:raised, {kind, reason, stacktrace}} = result, span, _run) do
    Telemetry.exception(span, kind, reason, stacktrace)
    result
  end

  def span(result, span, run) do
    measurements = %{fuel_used: run.fuel_used, peak_memory: run.peak_memory}
    Telemetry.stop(span, result, measurements, status(result))
  end

  defp status({:ok, %{status: status}}), do: %{status: status}
  defp status(_failed), do: %{}
end
