defmodule Wasmex.Plugin.Log do
  @moduledoc """
  What plug-ins log, and functions to log with fields.

  The functions of the ABI (`log_info` and the like) need nothing of this: what they say goes to `Logger`, with the
  plug-in's name as `plugin:` in its metadata, if the plug-in has a level: `log_level:` of `Wasmex.Plugin.new/2`,
  `:off` by default. The plug-in sees its level with `get_log_level`.

  As host functions, `functions: Wasmex.Plugin.Log`, it adds in the namespace `"wasmex:host/log"`:

  | function | type | meaning |
  |---|---|---|
  | `log` | (i64 level, i64 text, i64 fields) | `level` is a string, `fields` a JSON object or 0, which becomes the metadata `fields:` |
  """

  @behaviour Wasmex.Plugin.Functions

  require Logger

  @levels [:trace, :debug, :info, :warn, :error]
  @type level :: :trace | :debug | :info | :warn | :error | :off

  # What a plug-in is told when nothing is logged.
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
  # The import behind the ABI's functions: the level's number and the text, any bytes.
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

  # Handlers of logs expect characters; what is none is shown as such.
  defp readable(text) do
    if String.valid?(text), do: text, else: for(<<byte <- text>>, into: "", do: <<byte::utf8>>)
  end
end
