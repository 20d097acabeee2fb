defmodule Mix.Tasks.Wasmex.Install do
  @shortdoc "Installs the command wasmex, which needs no Mix"

  alias Wasmex.CLI.Flag
  alias Wasmex.Options

  @options Options.table(
             [
               prefix: [
                 type: :string,
                 default: "~/.local",
                 doc: "the folder for `bin/wasmex` and `lib/wasmex`",
                 flag: {:prefix, "DIR"}
               ]
             ],
             "mix wasmex.install"
           )

  @moduledoc """
  Installs the command `wasmex`, which does the work of the tasks without Mix and without a project:

      mix wasmex.install                     # ~/.local/bin/wasmex
      mix wasmex.install --prefix /usr/local
      wasmex run --dir . tool.wasm cat README.md
      wasmex serve functions/

  It starts in about half the time of `mix wasmex.run`. The commands are `run`, `serve`, `call`, `inspect`, `compile`,
  `snapshot` and `completion`, with the options of the tasks: `wasmex help COMMAND`. `wasmex.new` remains a task, because it changes
  a Mix project.

  #{Flag.docs(@options)}

  `lib/wasmex` gets what the command needs: Elixir, this library and its native parts, about 60 MB. Only Erlang/OTP must
  be installed to run it, the version that the task ran on or a newer one. Both folders can be moved or copied together, to
  a machine of the same kind. An existing installation is replaced; `rm -r DIR/bin/wasmex DIR/lib/wasmex` removes it.

  Configuration of a project does not apply to it. `WASMEX_CACHE` selects the disk cache, see `Wasmex.Compiler`.

  The exit status is 1 if a folder can't be written, and 2 for an invalid command line.
  """

  use Mix.Task

  @doc false
  @spec __options__() :: Options.t()
  def __options__, do: @options

  alias Wasmex.CLI

  # Elixir's applications that this library uses at run time.
  @applications [:elixir, :logger, :wasmex]

  @impl true
  def run(argv) do
    case CLI.options(__MODULE__, argv, @options) do
      {opts, []} -> install(Path.expand(opts[:prefix]))
      {_opts, [other | _]} -> CLI.misuse(__MODULE__, "expected no argument, got #{other}")
    end
  end

  defp install(prefix) do
    if match?({:win32, _}, :os.type()), do: CLI.fail("the launcher is a shell script")
    CLI.start()
    [bin, lib] = [Path.join(prefix, "bin/wasmex"), Path.join(prefix, "lib/wasmex")]
    # The old installation works until the new one is complete.
    fresh = "#{lib}.#{System.pid()}.new"
    old = "#{lib}.#{System.pid()}.old"

    Enum.each(@applications, &copy(&1, fresh))
    native(fresh)
    consolidated(fresh)
    File.mkdir_p!(Path.dirname(bin))
    if File.exists?(lib), do: File.rename!(lib, old)
    File.rename!(fresh, lib)
    File.rm_rf!(old)
    launcher(bin)
    IO.puts("installed #{bin}")
    unless on_path?(bin), do: IO.puts("#{Path.dirname(bin)} is not in PATH")
  rescue
    error in [File.Error, File.CopyError, File.RenameError] -> CLI.fail(Exception.message(error))
  end

  defp copy(application, lib) do
    source = Application.app_dir(application)
    folder = Path.join(lib, "#{application}")
    File.mkdir_p!(folder)

    # `priv` is a link in Mix's build folder.
    for part <- ["ebin", "priv"], path = Path.join(source, part), File.dir?(path) do
      File.cp_r!(path, Path.join(folder, part), dereference_symlinks: true)
    end
  end

  # Prebuilt libraries that these variables name are not in `priv`.
  defp native(lib) do
    for {variable, name} <- [
          {"WASMEX_NIF_PATH", "wasmex.so"},
          {"WASMEX_COMPILER_PATH", "wasmex-compiler"}
        ],
        path = System.get_env(variable, ""),
        path != "" do
      target = Path.join(lib, "wasmex/priv/native/#{name}")
      File.mkdir_p!(Path.dirname(target))
      File.cp!(path, target)
    end
  end

  # Protocols of the project without those of other dependencies. They start faster than those in `ebin`.
  defp consolidated(lib) do
    folder = Path.join(lib, "consolidated/ebin")
    File.mkdir_p!(folder)

    for path <- Path.wildcard(Path.join(Mix.Project.consolidation_path(), "*.beam")),
        name = Path.basename(path),
        Path.wildcard(Path.join(lib, "*/ebin/#{name}")) != [],
        do: File.cp!(path, Path.join(folder, name))
  end

  # The schedulers of a short-lived command don't spin: on few cores they would take time from the one that works.
  defp launcher(bin) do
    File.write!(bin, """
    #!/bin/sh
    # Written by `mix wasmex.install`.
    here=$(dirname "$(readlink -f "$0")")
    lib=$(dirname "$here")/lib/wasmex
    erl=$(command -v erl) || erl='#{erl()}'
    [ -x "$erl" ] || { echo 'wasmex needs erl, of Erlang/OTP' >&2; exit 1; }
    case "$1" in
      serve) spin= ;;
      *) spin='+sbwt none +sbwtdcpu none +sbwtdio none' ;;
    esac
    # shellcheck disable=SC2086
    exec "$erl" +fnu $spin -noshell -pa "$lib/consolidated/ebin" "$lib/elixir/ebin" "$lib/logger/ebin" "$lib/wasmex/ebin" \\
      -s Elixir.Wasmex.CLI.Main main -extra "$@"
    """)

    File.chmod!(bin, 0o755)
  end

  defp erl, do: Path.join([to_string(:code.root_dir()), "bin", "erl"])

  defp on_path?(bin) do
    folders = "PATH" |> System.get_env("") |> String.split(":")
    Path.dirname(bin) in folders
  end
end
