defmodule Wasmex.Profile.FlameGraph do
  @moduledoc false
  # Renders a profile as an SVG. The width of a rectangle is the number of samples with the function on the stack; its
  # callees are below it.

  @width 1200
  @row 17
  @top 34
  # Narrower rectangles are left out.
  @narrowest 0.3
  @per_letter 7

  @spec svg(Wasmex.Profile.t()) :: String.t()
  def svg(profile) do
    tree = Enum.reduce(profile.stacks, leaf(), fn {frames, n}, tree -> add(tree, frames, n) end)
    rows = depth(tree)
    scale = if tree.samples > 0, do: @width / tree.samples, else: 0
    {boxes, _x} = children(tree, 0.0, 0, {scale, tree.samples})
    height = @top + rows * @row + 10
    title = "#{escape(profile.name)}: #{tree.samples} samples"

    IO.iodata_to_binary([
      ~s|<?xml version="1.0" encoding="UTF-8"?>\n|,
      ~s|<svg xmlns="http://www.w3.org/2000/svg" width="#{@width}" height="#{height}" |,
      ~s|viewBox="0 0 #{@width} #{height}" font-family="monospace" font-size="11">\n|,
      ~s|<style>g:hover rect{stroke:#000}</style>\n|,
      ~s|<rect width="100%" height="100%" fill="#fffdf7"/>\n|,
      ~s|<text x="8" y="20" font-size="14">#{title}</text>\n|,
      boxes,
      "</svg>\n"
    ])
  end

  defp leaf, do: %{samples: 0, children: %{}}

  defp add(tree, [], n), do: %{tree | samples: tree.samples + n}

  defp add(tree, [frame | frames], n) do
    child = tree.children |> Map.get(frame, leaf()) |> add(frames, n)
    %{tree | samples: tree.samples + n, children: Map.put(tree.children, frame, child)}
  end

  defp depth(%{children: children}) when children == %{}, do: 0

  defp depth(%{children: children}),
    do: 1 + (children |> Map.values() |> Enum.map(&depth/1) |> Enum.max())

  # The boxes of a node's children side by side, and the start of the next one.
  defp children(tree, x, level, {scale, _total} = frame) do
    tree.children
    |> Enum.sort()
    |> Enum.map_reduce(x, fn {name, child}, x ->
      width = child.samples * scale
      {box(name, child, x, width, level, frame), x + width}
    end)
  end

  defp box(_name, _child, _x, width, _level, _frame) when width < @narrowest, do: []

  defp box(name, child, x, width, level, {_scale, total} = frame) do
    y = @top + level * @row
    percent = Float.round(100 * child.samples / total, 1)
    {below, _x} = children(child, x, level + 1, frame)

    [
      ~s|<g><title>#{escape(name)}: #{child.samples} samples, #{percent} %</title>|,
      ~s|<rect x="#{round2(x)}" y="#{y}" width="#{round2(width)}" height="#{@row - 1}" |,
      ~s|fill="#{colour(name)}" rx="1"/>|,
      label(name, x, y, width),
      "</g>\n",
      below
    ]
  end

  defp label(name, x, y, width) do
    letters = trunc((width - 6) / @per_letter)

    cond do
      letters < 3 -> ""
      String.length(name) <= letters -> text(name, x, y)
      true -> text(String.slice(name, 0, letters - 1) <> "…", x, y)
    end
  end

  defp text(text, x, y), do: ~s|<text x="#{round2(x + 3)}" y="#{y + 12}">#{escape(text)}</text>|

  # A function has the same colour everywhere.
  defp colour(name) do
    hash = :erlang.phash2(name, 1000)
    "hsl(#{rem(hash, 45) + 10},#{70 + rem(hash, 25)}%,#{62 + rem(hash, 14)}%)"
  end

  defp round2(number), do: :erlang.float_to_binary(number * 1.0, decimals: 2)

  defp escape(text) do
    text |> Wasmex.Printable.line() |> Wasmex.Utils.escape()
  end
end
