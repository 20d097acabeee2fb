defmodule Mix.Tasks.Compile.WasmexGuests do
  @shortdoc "Builds the guests of a project"

  @moduledoc """
  Builds the guests of a project: each folder of `guests/` becomes `priv/guests/NAME.wasm` when its files have changed.

      def project do
        [compilers: [:wasmex_guests] ++ Mix.compilers(), …]
      end

  It precedes Elixir's compiler, so that `use Wasmex.Component, path: "priv/guests/NAME.wasm"` finds its file. In `iex
  -S mix`, `recompile` builds the guests too; processes started afterwards by `path:` use the new file.

  A folder may have a file `guest.exs`, a keyword list:

    * `lang:` and `kind:`, as in `mix wasmex.new`; detected from the files in the folder by default
    * `build:`, a shell command to run in the folder instead, with `WASMEX_OUTPUT` as the file to write

  Errors of a guest's compiler are errors of `mix compile`, with file and line. A missing compiler is an error too,
  unless the built file exists (because it is committed, for example): then it is used, with a warning.
  """

  use Mix.Task.Compiler

  alias Mix.Task.Compiler.Diagnostic
  alias Wasmex.CLI.Progress
  alias Wasmex.Build.Toolchain

  @recursive true
  @guests "guests"
  @output "priv/guests"
  @ignored ~w(target node_modules .zig-cache zig-cache zig-out .git __pycache__)

  @impl true
  def run(_args) do
    results = for name <- names(), do: build(name)
    # Copy new files of priv to where releases and `Application.app_dir/2` look.
    if :built in Enum.map(results, &elem(&1, 0)), do: Mix.Project.build_structure()
    diagnostics = Enum.flat_map(results, &elem(&1, 1))

    cond do
      Enum.any?(results, &(elem(&1, 0) == :failed)) -> {:error, diagnostics}
      Enum.any?(results, &(elem(&1, 0) == :built)) -> {:ok, diagnostics}
      true -> {:noop, diagnostics}
    end
  end

  @impl true
  def manifests, do: [manifest()]

  @impl true
  def clean do
    for name <- names(), do: File.rm(output(name))
    File.rm_rf(work())
    File.rm(manifest())
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.wasmex_guests")
  defp work, do: Path.join(Mix.Project.build_path(), "guests")
  defp output(name), do: Path.join(@output, name <> ".wasm")

  defp names do
    for folder <- Path.wildcard(@guests <> "/*"), File.dir?(folder), do: Path.basename(folder)
  end

  defp build(name) do
    folder = Path.join(@guests, name)
    digest = digest(folder)

    if known()[name] == digest and File.regular?(output(name)),
      do: {:same, []},
      else: build(name, folder)
  end

  defp build(name, folder) do
    made = Path.expand(Path.join(work(), name))
    File.mkdir_p!(made)
    settings = settings(folder)

    case how(settings, folder, made, name) do
      {:ok, language, build} -> execute(name, folder, language, build)
      {:missing, how} -> missing(name, folder, how)
      {:unknown, why} -> {:failed, [diagnostic(folder, 1, :error, why)]}
    end
  end

  defp settings(folder) do
    path = Path.join(folder, "guest.exs")

    with true <- File.regular?(path),
         {settings, _} when is_list(settings) <- Code.eval_file(path) do
      settings
    else
      _ -> []
    end
  end

  defp how(settings, folder, made, name) do
    output = Path.join(made, name <> ".wasm")
    {language, kind} = language(settings, folder)

    cond do
      settings[:build] ->
        env = [{"WASMEX_OUTPUT", output}]
        {:ok, "shell", %{command: ["sh", "-c", settings[:build]], env: env, output: output}}

      language == nil ->
        {:unknown,
         "the language can't be detected: set it in guest.exs in the folder, such as [lang: :rust]"}

      true ->
        with {:ok, build} <- Toolchain.build(language, kind, folder, made, name),
             do: {:ok, language, build}
    end
  end

  defp language(settings, folder) do
    {language, kind} = Toolchain.guess(folder) || {nil, nil}
    {to_text(settings[:lang]) || language, to_text(settings[:kind]) || kind || "function"}
  end

  defp to_text(nil), do: nil
  defp to_text(name), do: to_string(name)

  defp execute(name, folder, language, %{command: [tool | args]} = build) do
    Mix.shell().info("Building #{folder} (#{language})")

    {printed, status} =
      Progress.run("building #{folder}", fn ->
        System.cmd(tool, args, cd: folder, env: build.env, stderr_to_stdout: true)
      end)

    diagnostics =
      for {file, line, severity, message} <- Toolchain.diagnostics(language, printed),
          do: diagnostic(Path.join(folder, file), line, severity, message)

    cond do
      status != 0 ->
        Mix.shell().error([printed, "#{folder}: #{Path.basename(tool)} failed (status #{status})"])

        failed = diagnostic(folder, 1, :error, "#{Path.basename(tool)} failed (status #{status})")

        {:failed,
         if(Enum.any?(diagnostics, &(&1.severity == :error)),
           do: diagnostics,
           else: diagnostics ++ [failed]
         )}

      not File.regular?(build.output) ->
        {:failed,
         [diagnostic(folder, 1, :error, "#{Path.basename(tool)} left no #{build.output}")]}

      true ->
        if diagnostics != [], do: Mix.shell().info(printed)
        File.mkdir_p!(@output)
        # Atomically: another process may be about to read it.
        File.cp!(build.output, output(name) <> ".part")
        File.rename!(output(name) <> ".part", output(name))
        # Includes files that the build itself has written, such as a lock file.
        remember(name, digest(folder))
        {:built, diagnostics}
    end
  end

  # The committed file is assumed to be up to date.
  defp missing(name, folder, how) do
    if File.regular?(output(name)) do
      message = "#{folder} was not rebuilt: its compiler is missing; install #{how}"
      Mix.shell().error("warning: " <> message)
      {:same, [diagnostic(folder, 1, :warning, message)]}
    else
      message = "#{folder} needs a missing compiler; install #{how}"
      Mix.shell().error(message)
      {:failed, [diagnostic(folder, 1, :error, message)]}
    end
  end

  defp diagnostic(file, line, severity, message) do
    struct!(Diagnostic,
      compiler_name: "wasmex_guests",
      file: Path.expand(file),
      position: line,
      severity: severity,
      message: message,
      details: nil
    )
  end

  defp digest(folder) do
    files =
      for path <- Path.wildcard(folder <> "/**", match_dot: true),
          File.regular?(path),
          Path.split(path) -- @ignored == Path.split(path),
          do: {path, :erlang.md5(File.read!(path))}

    Base.encode16(:erlang.md5(:erlang.term_to_binary(files)))
  end

  defp known do
    with {:ok, bytes} <- File.read(manifest()),
         known when is_map(known) <- :erlang.binary_to_term(bytes, [:safe]) do
      known
    else
      _ -> %{}
    end
  rescue
    ArgumentError -> %{}
  end

  defp remember(name, digest) do
    File.mkdir_p!(Path.dirname(manifest()))
    File.write!(manifest(), :erlang.term_to_binary(Map.put(known(), name, digest)))
  end
end
