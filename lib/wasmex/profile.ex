defmodule Wasmex.Profile do
  @moduledoc """
  Where a program spent its time: its stack, sampled every quarter of a millisecond that it ran. Made
  by `Wasmex.run/3` with `profile: true`, also when the program ended by an exit, a trap or a timeout.

  - `:json`: for https://profiler.firefox.com, wasmtime's guest profiler's own
  - `:stacks`: `[{frames, samples}]`, each a list of function names, the outermost first

  Functions have names where the module has a name section (do not strip what you profile).

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

  @doc "A line for each stack, frames joined by `;` and then the samples: what flame graph tools read."
  @spec folded(t()) :: String.t()
  def folded(%__MODULE__{stacks: stacks}) do
    stacks
    |> Enum.map(fn {frames, samples} -> "#{Enum.map_join(frames, ";", &clean/1)} #{samples}\n" end)
    |> Enum.sort()
    |> Enum.join()
  end

  defp clean(name), do: String.replace(name, [";", "\n", "\r"], ":")

  @doc "A flame graph as an SVG that stands alone: it opens in a browser, and hovering names a frame."
  @spec flame_graph(t()) :: String.t()
  def flame_graph(%__MODULE__{} = profile), do: FlameGraph.svg(profile)

  @doc """
  Writes the profile to a file: by its extension `.svg` a flame graph, `.folded` or `.txt` folded
  stacks, else the JSON.
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
