defmodule Mix.Tasks.Wasmex.New do
  @shortdoc "Adds a guest to the project"

  alias Wasmex.CLI.Flag
  alias Wasmex.Components.Bindgen.Names
  alias Wasmex.Build.Toolchain
  alias Wasmex.Options

  @languages Toolchain.kinds() |> Map.keys() |> Enum.sort()
  @kinds Toolchain.kinds() |> Map.values() |> List.flatten() |> Enum.uniq()

  @options Options.table(
             [
               lang: [
                 type: {:or, [nil], {:one_of, Enum.map(@languages, &Names.identifier/1)}},
                 doc: "the language: #{Enum.join(@languages, ", ")}",
                 flag: {:lang, "LANGUAGE"}
               ],
               kind: [
                 type: {:or, [nil], {:one_of, Enum.map(@kinds, &Names.identifier/1)}},
                 doc:
                   "the kind: #{Enum.join(@kinds, ", ")}; by default the first of the language",
                 flag: {:kind, "KIND"}
               ]
             ],
             "mix wasmex.new"
           )

  @moduledoc """
  Adds a guest to the project: its source in `guests/NAME`, a module for it in `lib`, and a test.

      mix wasmex.new NAME --lang rust
      mix wasmex.new counter --lang go --kind program

  #{Flag.docs(@options)}

  | language | kinds |
  |---|---|
  #{Enum.map_join(@languages, "\n", &"| #{&1} | #{Enum.join(Toolchain.kinds()[&1], ", ")} |")}

  A function takes and returns strings, a program has arguments and standard streams, a component has types, a plug-in
  uses the ABI of Extism, and `http` handles requests. `mix compile` builds it (`Mix.Tasks.Compile.WasmexGuests`): the task
  adds the compiler to `mix.exs`, or says how. Existing files are never overwritten.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.CLI

  @impl true
  def run(argv) do
    {opts, name} = CLI.one_argument(__MODULE__, "the NAME of the guest", argv, @options)

    language =
      opts[:lang] || CLI.misuse(__MODULE__, "--lang is missing: #{Enum.join(@languages, ", ")}")

    language = to_string(language)
    kinds = Toolchain.kinds()[language]
    kind = to_string(opts[:kind] || hd(kinds))

    unless kind in kinds,
      do:
        CLI.misuse(
          __MODULE__,
          "--kind #{kind}: the kinds of #{language} are #{Enum.join(kinds, ", ")}"
        )

    unless name =~ ~r/\A[a-z][a-z0-9_]*\z/,
      do:
        CLI.misuse(
          __MODULE__,
          "#{name}: a name consists of lower-case letters, digits and underscores"
        )

    Mix.Project.get() || CLI.fail("there is no Mix project here: create one with mix new")
    write(name, language, kind)
    next(name, language, kind)
  end

  defp write(name, language, kind) do
    templates = Application.app_dir(:wasmex, "priv/templates/guests")
    guest = Path.join(templates, "#{language}-#{kind}/guest")
    elixir = Path.join([templates, "elixir", kind])

    files =
      for(
        path <- Path.wildcard(guest <> "/**"),
        File.regular?(path),
        do: {path, Path.join("guests/#{name}", Path.relative_to(path, guest))}
      ) ++
        [
          {Path.join(elixir, "lib.ex"), "lib/#{name}.ex"},
          {Path.join(elixir, "test.exs"), "test/#{name}_test.exs"}
        ]

    settings = "guests/#{name}/guest.exs"

    for path <- [settings | Enum.map(files, &elem(&1, 1))], File.exists?(path) do
      CLI.fail("#{path} already exists")
    end

    for {from, to} <- files, do: create(to, from |> File.read!() |> fill(name))

    create(
      settings,
      "# How this guest is built: see mix help compile.wasmex_guests.\n[lang: #{inspect(language)}, kind: #{inspect(kind)}]\n"
    )
  end

  defp create(path, text) do
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, text)
    Mix.shell().info([:green, "* creating ", :reset, path])
  end

  # Names in WIT use dashes.
  defp fill(text, name) do
    text
    |> String.replace("@name@", name)
    |> String.replace("@Name@", Macro.camelize(name))
    |> String.replace("@wit@", String.replace(name, "_", "-"))
    |> String.replace("@app@", to_string(Mix.Project.config()[:app]))
  end

  defp next(name, language, kind) do
    unless :wasmex_guests in (Mix.Project.config()[:compilers] || []), do: add_compiler()

    with {:missing, how} <- Toolchain.build(language, kind, "guests/#{name}", "_build", name),
         do: Mix.shell().info("It will be built once its compiler is installed: #{how}")

    Mix.shell().info("\nThen: mix test test/#{name}_test.exs")
  end

  @compilers "compilers: [:wasmex_guests] ++ Mix.compilers(),"

  # Changes mix.exs only where it is as `mix new` writes it.
  defp add_compiler do
    path = Mix.Project.project_file()
    text = File.read!(path)

    case Regex.run(~r/^( +)deps: deps\(\)/m, text, return: :index) do
      [{at, _}, {_, spaces}] when spaces > 0 ->
        if text =~ ~r/^\s*compilers:/m,
          do: explain(),
          else: insert(path, text, at, String.duplicate(" ", spaces) <> @compilers <> "\n")

      nil ->
        explain()
    end
  end

  defp insert(path, text, at, line) do
    rest = binary_part(text, at, byte_size(text) - at)
    File.write!(path, [binary_part(text, 0, at), line, rest])
    path = Path.relative_to_cwd(path)
    Mix.shell().info([:green, "* changing ", :reset, "#{path}: ", String.trim(line)])
  end

  defp explain do
    Mix.shell().info("""

    In mix.exs, in project/0, add the compiler that builds guests:

        #{@compilers}
    """)
  end
end
