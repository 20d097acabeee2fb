# Prepares _build/docs for ex_doc: its configuration, and the pages of the project.
#
# ex_doc finds pages by the last part of their path, and this project has many a README.md. So each page is copied under a
# name of its own, and links are changed: to the new name, or, to what is not a page (sources, folders), to their text.

defmodule Docs do
  @out "_build/docs"

  def run do
    project = Mix.Project.config()
    docs = project[:docs]
    pages = pages(docs[:extras])
    File.rm_rf!(@out)
    File.mkdir_p!(@out)

    for {path, name} <- pages,
        do: File.write!(Path.join(@out, name), path |> File.read!() |> relink(path, pages))

    config =
      docs
      |> Keyword.put(:extras, Enum.map(docs[:extras], &pages[path(&1)]))
      |> Keyword.put(:groups_for_extras, groups(docs[:groups_for_extras], pages))
      # These are about modules that are hidden on purpose.
      |> Keyword.put(:skip_undefined_reference_warnings_on, internal(pages))

    File.write!(
      Path.join(@out, "config.exs"),
      inspect(config, limit: :infinity, printable_limit: :infinity)
    )

    File.write!(Path.join(@out, "version"), project[:version])
  end

  defp pages(extras) do
    for extra <- extras, into: %{}, do: {path(extra), name(extra)}
  end

  defp path({path, _options}), do: to_string(path)
  defp path(path), do: path

  defp name({path, options}), do: options[:filename] <> Path.extname(to_string(path))
  defp name(path), do: Path.basename(path)

  # Patterns of paths become lists of names; a page is in the first group that it matches.
  defp groups(groups, pages) do
    by_group = Enum.group_by(pages, &group(groups, elem(&1, 0)), &elem(&1, 1))
    for {title, _pattern} <- groups, do: {title, Map.get(by_group, title, [])}
  end

  defp group(groups, path),
    do: Enum.find_value(groups, fn {title, pattern} -> if path =~ pattern, do: title end)

  defp internal(pages),
    do: for({path, name} <- pages, String.starts_with?(path, ["lib/", "native/"]), do: name)

  defp relink(text, path, pages) do
    Regex.replace(~r/(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)/, text, fn whole,
                                                                                 label,
                                                                                 target ->
      {file, fragment} = split(target)

      cond do
        target =~ ~r{^(https?:|#)} -> whole
        name = pages[near(file, path)] -> "[#{label}](#{name}#{fragment})"
        true -> label
      end
    end)
  end

  defp split(target) do
    case String.split(target, "#", parts: 2) do
      [file, fragment] -> {file, "#" <> fragment}
      [file] -> {file, ""}
    end
  end

  defp near(file, path),
    do: path |> Path.dirname() |> Path.join(file) |> Path.expand() |> Path.relative_to_cwd()
end

Docs.run()
