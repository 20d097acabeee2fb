defmodule Wasmex.Profile do
  @moduledoc """
  A sampling profile of a program: its stack, sampled every quarter of a millisecond of running time.
  `Wasmex.run/3` with `profile: true` returns it, also after an exit, a trap or a timeout.

  - `:json`: the profile of wasmtime's `GuestProfiler`, for https://profiler.firefox.com
  - `:stacks`: `[{frames, samples}]`, where frames are function names, outermost first

  Function names need the module's name section, so do not strip modules that you profile.

  ## Example

      iex> profile = %Wasmex.Profile{name: "demo", stacks: [{["main", "work"], 3}, {["main"], 1}]}
      iex> Wasmex.Profile.folded(profile)
      "main 1\\nmain;work 3\\n"
  """

  alias Wasmex.Profile.FlameGraph

  defstruct name: "program", json: "", stacks: []

  @type t :: %__MODULE__{
          name: String.t(),
          json: binary(),
          stacks: [{[String.t()], pos_integer()}]
        }

  @doc "Folded stacks, the input of flame graph tools: one line per stack, frames joined by `;`, then the samples."
  @spec folded(t()) :: String.t()
  def folded(%__MODULE__{stacks: stacks}) do
    stacks
    |> Enum.map(fn {frames, samples} -> "#{Enum.map_join(frames, ";", &clean/1)} #{samples}\n" end)
    |> Enum.sort()
    |> Enum.join()
  end

  defp clean(name), do: name |> Wasmex.Printable.line() |> String.replace(";", ":")

  @doc "A flame graph as a self-contained SVG. Open it in a browser and hover over a frame to see its name."
  @spec flame_graph(t()) :: String.t()
  def flame_graph(%__MODULE__{} = profile), do: FlameGraph.svg(profile)

  @doc """
  Writes the profile to a file. The extension selects the format: `.svg` for a flame graph, `.folded` or
  `.txt` for folded stacks, anything else for JSON.
  """
  @spec write(t(), Path.t()) :: :ok | {:error, File.posix()}
  def write(%__MODULE__{} = profile, path) do
    case path |> Path.extname() |> String.downcase() do
      ".svg" -> File.write(path, flame_graph(profile))
      ext when ext in [".folded", ".txt"] -> File.write(path, folded(profile))
      _ -> File.write(path, profile.json)
    end
  end
end
