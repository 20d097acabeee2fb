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

  It starts in less than half the time of `mix wasmex.run`. The commands are `run`, `serve`, `call`, `inspect`, `compile`,
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
  alias Wasmex.CLI.Boot

  # Elixir's applications that this library uses at run time.
  @applications [:elixir, :logger, :wasmex]

  # The folders with code, in the order in which modules are searched for.
  @folders [:consolidated | @applications]

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
    boot(bin, lib)
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

  # A program that uses WASI and is large enough for the disk cache.
  @program """
  (module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "#{String.duplicate("0", 20_000)}")
    (func (export "_start")))
  """

  # The boot script contains the modules that a run of a program uses, when it is compiled and when it is in the disk cache.
  # Without it, the command takes longer to start.
  defp boot(bin, lib) do
    dir = "#{lib}.#{System.pid()}.tmp"
    program = Path.join(dir, "program.wasm")
    {:ok, wasm} = Wasmex.Wat.to_wasm(@program)
    File.mkdir_p!(dir)
    File.write!(program, wasm)
    modules = for _ <- 1..2, module <- recorded(lib, dir, ["run", program]), do: module
    File.rm_rf!(dir)

    with {:ok, script} <- Boot.script(modules) do
      path = Path.join(lib, "wasmex.boot")
      File.write!(path, script)

      unless match?({_, 0}, System.cmd(bin, ["--version"], stderr_to_stdout: true)),
        do: File.rm!(path)
    end
  end

  # The modules that a command line loads.
  defp recorded(lib, dir, argv) do
    file = Path.join(dir, "modules")
    code = for name <- @folders, do: Path.join(lib, "#{name}/ebin")

    args =
      ["-noshell", "-boot", "no_dot_erlang", "-pa"] ++
        code ++ ["-s", "#{Boot}", "record", "-extra", file | argv]

    env = [{"WASMEX_CACHE", Path.join(dir, "cache")}]

    case System.cmd(erl(), args, env: env, stderr_to_stdout: true) do
      {_, 0} -> file |> File.read!() |> :erlang.binary_to_term()
      {text, _} -> CLI.fail("the command does not start: #{text}")
    end
  end

  # Standard output is the program's.
  @logger "[{handler,default,logger_std_h,\#{config=>\#{type=>standard_error}}}]"

  # The schedulers of a short-lived command don't spin: on few cores they would take time from the one that works. `erl` is
  # a script too, so the launcher does its work itself if Erlang/OTP is the one that the boot script is for.
  defp launcher(bin) do
    [erts | _] = folders = Boot.folders()
    same? = Enum.map_join(folders, " && ", &~s([ -d "$ROOTDIR/#{&1}" ]))
    code = Enum.map_join(@folders, " ", &~s("$lib/#{&1}/ebin"))

    File.write!(bin, """
    #!/bin/sh
    # Written by `mix wasmex.install`.
    self=$0
    [ ! -L "$self" ] || self=$(readlink -f "$self")
    case $self in
      /*) ;;
      *) self=$PWD/$self ;;
    esac
    lib=${self%/*}/../lib/wasmex
    command=$1
    set -- -pa #{code} -kernel logger '#{@logger}' -s Elixir.Wasmex.CLI.Main main -extra "$@"
    case $command in
      serve) ;;
      *) set -- +sbwt none +sbwtdcpu none +sbwtdio none "$@" ;;
    esac
    ROOTDIR='#{:code.root_dir()}'
    if #{same?} && [ -f "$lib/wasmex.boot" ]; then
      BINDIR=$ROOTDIR/#{erts}/bin EMU=beam PROGNAME=erl
      export ROOTDIR BINDIR EMU PROGNAME
      exec "$BINDIR/erlexec" +fnu -noshell -boot "$lib/wasmex" "$@"
    fi
    unset ROOTDIR
    erl=$(command -v erl) || erl='#{erl()}'
    [ -x "$erl" ] || { echo 'wasmex needs erl, of Erlang/OTP' >&2; exit 1; }
    exec "$erl" +fnu -noshell "$@"
    """)

    File.chmod!(bin, 0o755)
  end

  defp erl, do: Path.join([to_string(:code.root_dir()), "bin", "erl"])

  defp on_path?(bin) do
    folders = "PATH" |> System.get_env("") |> String.split(":")
    Path.dirname(bin) in folders
  end
end
