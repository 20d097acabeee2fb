defmodule Wasmex.Components.Bindgen.Precompiled do
  @moduledoc false
  # The compiled component of a generated module, in a file beside the module's beam file: created by `mix compile`,
  # included in releases, and memory-mapped at a start without compiling, copying or hashing. It is trusted like the
  # beam file. Its name contains the digest of the component and the fingerprint of the engine, so a file of another
  # version, machine or engine is not found, and the component is compiled.

  alias Wasmex.{Artefact, CLI, Compiler, Engine, Native}
  alias Wasmex.CLI.Progress
  alias Wasmex.Components.Component

  @typedoc "The file's name without the fingerprint, and the digest of its component."
  @type t :: {name :: String.t(), digest :: binary()}

  @doc """
  Compiles the component, or these bytes of it, for the default engine, if the module becomes a beam file of a Mix project.
  Otherwise nil (in scripts, tests and iex), and for code that is already compiled.
  """
  @spec make(module(), Path.t(), binary() | nil, Macro.Env.t()) :: t() | nil
  def make(module, path, bytes, env) do
    with folder when folder != nil <- folder(env),
         bytes = bytes || File.read!(path),
         false <- Artefact.artefact?(bytes) do
      digest = :crypto.hash(:sha256, bytes)
      name = "#{module}-#{hex(binary_part(digest, 0, 8))}"
      file = file(folder, name, Engine.resource(nil))
      unless File.regular?(file), do: write(module, path, bytes, file)
      {name, digest}
    else
      _ -> nil
    end
  end

  defp file(folder, name, engine),
    do: Path.join(folder, "#{name}-#{hex(<<Native.engine_fingerprint(engine)::64>>)}.cwasm")

  defp hex(bytes), do: Base.encode16(bytes, case: :lower)

  defp folder(env) do
    if mix?() and compiled_by_mix?(env.file), do: Mix.Project.compile_path()
  end

  # Scripts run by `elixir` have Mix, but it is not started.
  defp mix?,
    do:
      Code.ensure_loaded?(Mix.Project) and
        List.keymember?(Application.started_applications(), :mix, 0) and
        Mix.Project.get() != nil

  defp compiled_by_mix?(file) do
    folders =
      Mix.Project.config() |> Keyword.get(:elixirc_paths, ["lib"]) |> Enum.map(&Path.expand/1)

    Path.extname(file) == ".ex" and
      Enum.any?(folders, &String.starts_with?(Path.expand(file), &1 <> "/"))
  end

  defp write(module, path, bytes, file) do
    options = Compiler.Options.default(true)
    engine = Engine.resource(nil)

    made =
      Progress.run("compiling #{path} for #{inspect(module)}", fn ->
        with {:ok, code} <- Compiler.code(:component, engine, bytes, options),
             do: Compiler.artefact(:component, engine, code, options)
      end)

    with {:ok, artefact} <- made,
         :ok <- File.mkdir_p!(Path.dirname(file)),
         # Atomically: a VM that has mapped the older file keeps it.
         :ok <- CLI.write(file, artefact) do
      for old <- Path.wildcard(Path.join(Path.dirname(file), "#{module}-*.cwasm")),
          old != file,
          do: File.rm(old)
    else
      {:error, text} when is_binary(text) ->
        raise CompileError, description: text

      {:error, error} ->
        raise CompileError, description: "#{path}: #{Exception.message(error)}"
    end
  end

  @doc "The component from the file beside the module's own; nil if there is none for this engine."
  @spec load(module(), t() | nil, reference(), map()) :: Component.t() | nil
  def load(_module, nil, _engine, _names), do: nil

  def load(module, {name, _digest}, engine, names) do
    with beam when is_list(beam) <- :code.which(module),
         file = beam |> Path.dirname() |> file(name, engine),
         true <- File.regular?(file),
         {:ok, resource} <-
           Native.component_deserialize_file(engine, file, Map.to_list(names)) do
      Component.__wrap_resource__(resource)
    else
      _ -> nil
    end
  end
end
