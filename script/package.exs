# The parts of script/package: archives, their checksums, the package.
#
#   host                     this machine's platform
#   features                 cargo's arguments for the selected features
#   archive TARGET FOLDER [FILE]   packs the library and the helper in the folder, and the licences in the file
#   package                  creates the package from dist/

defmodule Package do
  alias Wasmex.Build.{Features, Platform, Prebuilt}

  @version Mix.Project.config()[:version]

  defp project, do: Mix.Project.config()

  def dist, do: System.get_env("WASMEX_DIST") || "dist"

  def host do
    {:ok, target} = Platform.host()
    target
  end

  def features do
    {:ok, features} = Features.selected()
    Enum.join(Features.cargo(features), " ")
  end

  # The library under cargo's name, and under the name that the VM loads.
  def archive(target, folder, notices \\ nil) do
    {library, helper} =
      if target =~ "windows",
        do: {"wasmex.dll", "wasmex-compiler.exe"},
        else: {"wasmex.so", "wasmex-compiler"}

    built =
      Enum.find(
        ["libwasmex.so", "libwasmex.dylib", "wasmex.dll", "wasmex.so"],
        &File.exists?(Path.join(folder, &1))
      )

    built || raise "there is no library in #{folder}"
    File.mkdir_p!(dist())
    {:ok, features} = Features.selected()
    path = Path.join(dist(), Prebuilt.name(target, features))

    files =
      for {from, name} <- [{built, library}, {helper, helper}],
          do: {Path.join(folder, from), name, 0o755}

    licences = for path <- List.wrap(notices), do: {path, "licences.txt", 0o644}
    :ok = tar(path, files ++ licences)
    IO.puts("#{path}: #{div(File.stat!(path).size, 1_000_000)} MB")
  end

  # Without times and owners: the same files result in the same archive. Only files on disk have a mode in it, so they
  # are copied.
  defp tar(path, files) do
    {:ok, tar} = :erl_tar.open(String.to_charlist(path), [:write, :compressed])

    for {from, name, mode} <- files do
      copy = "#{path}.#{name}"
      File.cp!(from, copy)
      File.chmod!(copy, mode)
      fixed = [mtime: 0, atime: 0, ctime: 0, uid: 0, gid: 0]
      :ok = :erl_tar.add(tar, String.to_charlist(copy), String.to_charlist(name), fixed)
      File.rm!(copy)
    end

    :erl_tar.close(tar)
  end

  def package do
    folder = Path.join(dist(), "wasmex-#{@version}")
    File.rm_rf!(folder)

    for path <- files() do
      to = Path.join(folder, path)
      File.mkdir_p!(Path.dirname(to))
      File.cp!(path, to)
    end

    checksums = checksums()
    File.write!(Path.join(folder, "native/checksums.txt"), checksums)
    File.write!(Path.join(dist(), "checksums.txt"), checksums)
    hex(folder)
    IO.write(["#{folder}: #{length(files())} files\n", checksums])
  end

  # As in Hex: a folder includes everything in it.
  defp files do
    for entry <- project()[:package][:files],
        path <-
          if(File.dir?(entry), do: Path.wildcard(entry <> "/**", match_dot: true), else: [entry]),
        File.regular?(path),
        not String.contains?(path, ["/target/", "checksums.txt"]),
        do: path
  end

  defp checksums do
    for path <- Enum.sort(Path.wildcard(Path.join(dist(), "wasmex-#{@version}-nif-*.tar.gz"))) do
      digest = :sha256 |> :crypto.hash(File.read!(path)) |> Base.encode16(case: :lower)
      "#{digest}  #{Path.basename(path)}\n"
    end
  end

  # The format of Hex's packages, version 3: https://github.com/hexpm/specifications/blob/main/package_tarball.md
  defp hex(folder) do
    paths =
      for path <- Path.wildcard(folder <> "/**", match_dot: true),
          File.regular?(path),
          do: Path.relative_to(path, folder)

    contents = Path.join(dist(), "contents.tar.gz")
    {:ok, tar} = :erl_tar.open(String.to_charlist(contents), [:write, :compressed])

    for path <- paths,
        do:
          :ok =
            :erl_tar.add(tar, File.read!(Path.join(folder, path)), String.to_charlist(path),
              mtime: 0,
              uid: 0,
              gid: 0
            )

    :ok = :erl_tar.close(tar)
    package = project()[:package]

    metadata =
      for {key, value} <- [
            {"app", "wasmex"},
            {"name", "wasmex"},
            {"version", @version},
            {"description", project()[:description]},
            {"elixir", project()[:elixir]},
            {"licenses", package[:licenses]},
            {"links", Enum.to_list(package[:links])},
            {"build_tools", ["mix"]},
            {"files", paths},
            {"requirements", []}
          ],
          do: :io_lib.format("~tp.~n", [{key, value}])

    metadata = :unicode.characters_to_binary(metadata)
    contents_bytes = File.read!(contents)
    File.rm!(contents)
    checksum = Base.encode16(:crypto.hash(:sha256, ["3", metadata, contents_bytes]))
    path = Path.join(dist(), "wasmex-#{@version}.tar")
    {:ok, tar} = :erl_tar.open(String.to_charlist(path), [:write])

    for {name, bytes} <- [
          {~c"VERSION", "3"},
          {~c"CHECKSUM", checksum},
          {~c"metadata.config", metadata},
          {~c"contents.tar.gz", contents_bytes}
        ],
        do: :ok = :erl_tar.add(tar, bytes, name, mtime: 0, uid: 0, gid: 0)

    :ok = :erl_tar.close(tar)
  end
end

case System.argv() do
  ["host"] -> IO.puts(Package.host())
  ["features"] -> IO.puts(Package.features())
  ["archive", target, folder] -> Package.archive(target, folder)
  ["archive", target, folder, notices] -> Package.archive(target, folder, notices)
  ["package"] -> Package.package()
end
