defmodule Wasmex.Plugin.Log do
  @moduledoc """
  Logging for plug-ins, and host functions to log with fields.

  The log functions of the ABI (`log_info` etc.) are always available. They log to `Logger`, with the name of the plug-in as
  `plugin:` in the metadata, from the level `log_level:` of `Wasmex.Plugin.new/2` on (`:off` by default). The plug-in can read
  this level with `get_log_level`.

  `functions: Wasmex.Plugin.Log` adds host functions in the namespace `"wasmex:host/log"`:

  | function | type | meaning |
  |---|---|---|
  | `log` | (i64 level, i64 text, i64 fields) | `level` is a string. `fields` is a JSON object for the metadata `fields:`, or 0 |
  """

  @behaviour Wasmex.Plugin.Functions

  require Logger

  @levels [:trace, :debug, :info, :warn, :error]
  @type level :: :trace | :debug | :info | :warn | :error | :off

  # The level reported to a plug-in without logging.
  @off 0x7FFF_FFFF

  @doc false
  @spec number(level() | :warning) :: non_neg_integer()
  def number(:off), do: @off
  def number(:warning), do: number(:warn)

  def number(level) do
    Enum.find_index(@levels, &(&1 == level)) ||
      Wasmex.Options.misuse!("one of #{inspect(@levels ++ [:off])} as log_level", level)
  end

  @doc false
  # Called for the log functions of the ABI, with the number of the level and the text, which may be any bytes.
  @spec write(Wasmex.Plugin.Context.t(), non_neg_integer(), binary()) :: term()
  def write(%{plugin: plugin}, level, text),
    do: log(plugin, Enum.at(@levels, level), text, [])

  @impl true
  def functions(_opts) do
    %{"wasmex:host/log" => %{"log" => {:fn, [:string, :bytes, :json], [], &fields/4}}}
  end

  defp fields(%{plugin: plugin}, level, text, fields) do
    case Enum.find(@levels, &(Atom.to_string(&1) == level)) do
      nil ->
        {:error, "unknown log level #{inspect(level)}"}

      level ->
        if number(level) >= number(plugin.log_level), do: log(plugin, level, text, fields: fields)
    end
  end

  defp log(plugin, level, text, metadata) do
    Logger.log(severity(level), readable(text), [plugin: plugin.name] ++ metadata)
    nil
  end

  defp severity(:trace), do: :debug
  defp severity(:warn), do: :warning
  defp severity(level), do: level

  # Log handlers expect characters, so inspect other bytes.
  defp readable(text) do
    if String.valid?(text), do: text, else: for(<<byte <- text>>, into: "", do: <<byte::utf8>>)
  end
end
