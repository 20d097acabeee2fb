defmodule Wasmex.Program.SessionStore do
  @moduledoc false
  # Creates or reuses the store of a program.

  alias Wasmex.{Error, Native, Store, StoreLimits, StoreOrCaller}
  alias Wasmex.Options.Type.Stdio
  alias Wasmex.Program.Session

  @doc "Adds a store to the session."
  @spec open(Session.t(), [String.t()]) :: {:ok, Session.t()} | {:error, Exception.t()}
  def open(session, args) do
    with {:ok, session} <- put(session, args),
         :ok <- set_fuel(session.store, session.options.fuel),
         :ok <- start_profile(session),
         do: {:ok, session}
  end

  defp put(%{source: %{instance: nil, keep?: keep?}} = session, args),
    do: make_store(%{session | store_after: if(keep?, do: :keep, else: :close)}, args)

  # A reused instance keeps its error stream.
  defp put(%{source: %{instance: {store, resource, stderr}, keep?: keep?}} = session, _args) do
    session = %{session | store: store, resource: resource, stderr: stderr}
    {:ok, %{session | store_after: if(keep?, do: :keep, else: :leave)}}
  end

  defp make_store(%{source: source, options: options} = session, args) do
    wasi = wasi(session, args)
    limits = %StoreLimits{memory_size: options.max_memory}
    engine = source.kind.engine(source.module)

    with {:ok, store} <- Store.make(wasi, limits, engine, observed(options)),
         do: {:ok, %{session | store: store}}
  end

  defp wasi(%{source: %{wasi: %{} = prepared, name: name}, options: options} = session, args) do
    {:native,
     %{
       prepared
       | args: [name | args],
         env: Map.to_list(options.env),
         stdin: Stdio.native(session.stdin.pipe),
         stdout: Stdio.native(session.stdout.pipe),
         stderr: Stdio.native(session.stderr.pipe)
     }}
  end

  defp wasi(%{source: source, entry: entry} = session, args) do
    pipes = {session.stdin.pipe, session.stdout.pipe, session.stderr.pipe}
    {options, pipes} = entry.wasi.(session.options, pipes)
    source.kind.wasi(options, [source.name | args], pipes)
  end

  defp observed(options) do
    for {what, true} <- [trace: options.trace != nil, profile: options.profile], do: what
  end

  defp set_fuel(_store, nil), do: :ok

  defp set_fuel(store, fuel) do
    case StoreOrCaller.set_fuel(store, fuel) do
      :ok ->
        :ok

      {:error, _text} ->
        message = "fuel: requires a program compiled for an engine with consume_fuel: true"
        {:error, %Error{reason: :fuel_disabled, details: %{message: message}}}
    end
  end

  defp start_profile(%{options: %{profile: false}}), do: :ok

  defp start_profile(%{store: store, source: source}) do
    case Native.profile_start(store.resource, source.name) do
      {:ok, _} -> :ok
      {:error, native} -> {:error, Error.from_native(native)}
    end
  end
end
