# The licences of everything that is linked into the native library and the compiler process, which whoever passes them
# on has to pass on as well.
#
#   mix run --no-start script/notices.exs [TRIPLE] > notices.txt     by default for this machine

defmodule Notices do
  @names ~r/^(licen[cs]e|copying|copyright|notice|unlicense)/i

  def text(triple) do
    places = places()

    linked = for crate <- linked(triple), package = places[crate], package["source"], do: package

    [
      "The native library of Wasmex and its compiler process contain these crates, and the standard library of Rust\n",
      "(MIT OR Apache-2.0). The texts of their licences follow, each once.\n\n",
      for(
        package <- Enum.sort_by(linked, &name/1),
        do: "#{name(package)} (#{package["license"]})\n"
      ),
      for({text, names} <- by_text(linked), do: section(text, names))
    ]
  end

  defp by_text(packages) do
    pairs = for package <- packages, text <- texts(package), do: {text, name(package)}

    pairs
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Enum.sort_by(fn {_text, names} -> Enum.min(names) end)
  end

  defp section(text, names) do
    line = String.duplicate("=", 80)
    ["\n", line, "\n", names |> Enum.uniq() |> Enum.sort() |> Enum.join(", "), "\n\n", text, "\n"]
  end

  defp name(package), do: "#{package["name"]} #{package["version"]}"

  defp texts(package) do
    dir = Path.dirname(package["manifest_path"])

    for name <- Enum.sort(File.ls!(dir)),
        name =~ @names,
        path = Path.join(dir, name),
        File.regular?(path),
        uniq: true,
        do: String.trim(File.read!(path))
  end

  # Where the sources of the crates are, by name and version.
  defp places do
    {:ok, metadata} =
      ["metadata", "--locked", "--format-version", "1"] |> cargo() |> Wasmex.JSON.decode()

    for package <- metadata["packages"],
        into: %{},
        do: {"#{package["name"]} v#{package["version"]}", package}
  end

  defp linked(triple) do
    target = if triple, do: ["--target", triple], else: []
    packages = ["--package", "wasmex", "--package", "wasmex-compiler"]
    shape = ["--edges", "normal", "--prefix", "none", "--format", "{p}"]

    for line <- String.split(cargo(["tree", "--locked"] ++ packages ++ shape ++ target), "\n"),
        # Nothing of a macro is linked.
        not (line =~ "(proc-macro)"),
        [crate] <- Regex.scan(~r/^\S+ v\S+/, line),
        uniq: true,
        do: crate
  end

  defp cargo(args) do
    {output, 0} = System.cmd("cargo", args)
    output
  end
end

IO.write(Notices.text(List.first(System.argv())))
