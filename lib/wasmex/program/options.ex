defmodule Wasmex.Program.Options do
  @moduledoc false
  # The options of a program, checked: see `Wasmex.run/3` for what they mean.

  use Wasmex.Options, rows: Wasmex.Options.Program.rows(), place: "Wasmex.run/3"

  alias Wasmex.{Error, Options}
  alias Wasmex.Options.WASI
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  # What is captured without a limit of the user's own.
  @captured 64 * 1024 * 1024

  # The options that a store has too, by the same names.
  @granted Keyword.keys(WASI.granted() ++ WASI.network())

  # What a module has alone.
  @files Keyword.keys(WASI.files())

  # What a module can't use, and so is not to be believed granted.
  @http Keyword.keys(WASI.http())

  @doc "Raises for what makes no sense; `defaults` are those of the function that asks."
  @spec new!(keyword(), keyword()) :: t()
  def new!(opts, defaults \\ []), do: of(Options.new!(opts, @options, defaults))

  @doc "A table for a function with options of its own besides, whose names may be the same."
  @spec table(keyword(keyword()), String.t()) :: Options.t()
  def table(own, place), do: Options.table(Keyword.merge(Options.Program.rows(), own), place)

  @doc "Options by such a table: those of its own, and the program's."
  @spec split!(keyword(), Options.t(), keyword(keyword()), keyword()) :: {map(), t()}
  def split!(opts, table, own, defaults) do
    {own, options} = opts |> Options.new!(table, defaults) |> Map.split(Keyword.keys(own))
    {own, of(options)}
  end

  # All are fields, which `struct!/2` would look for one by one.
  defp of(options), do: Map.merge(%__MODULE__{}, options)

  @doc "Says which host directory is missing; wasmtime would only say that one is."
  @spec check_dirs(t()) :: :ok | {:error, Error.t()}
  def check_dirs(%{dirs: dirs}) do
    case Enum.find(dirs, &(not File.dir?(&1.path))) do
      nil ->
        :ok

      %{path: path, alias: guest} ->
        why = if File.exists?(path), do: "is no directory", else: "does not exist"
        message = "dirs: the host's #{inspect(path)}, for the guest's #{inspect(guest)}, #{why}"
        {:error, %Error{reason: :wasi, details: %{path: path, message: message}}}
    end
  end

  @doc "What WASI 0.2 grants, given argv and the pipes of the standard streams."
  @spec preview2(t(), [String.t()], tuple()) :: WasiP2Options.t()
  def preview2(options, argv, pipes) do
    refuse!(options, @files, "is for modules")
    granted = options |> preview1(argv, pipes) |> Map.from_struct() |> Map.drop(@files)
    http = Map.take(options, @http)

    WasiP2Options.nothing() |> struct!(granted) |> struct!(http)
  end

  @doc "Raises for what WASI preview 1 can't grant."
  @spec refuse_http!(t()) :: :ok
  def refuse_http!(options),
    do: refuse!(options, @http, "is for components; WASI preview 1 has no HTTP requests")

  defp refuse!(options, keys, why) do
    for key <- keys, Map.fetch!(options, key) != @options.defaults[key] do
      raise ArgumentError, "#{key}: #{why}"
    end

    :ok
  end

  @doc "What WASI preview 1 grants, given argv and the pipes of the standard streams."
  @spec preview1(t(), [String.t()], tuple()) :: WasiOptions.t()
  def preview1(options, argv, {stdin, stdout, stderr}) do
    {max_output, counted} = max_output(options)

    granted = Map.take(options, @granted ++ @files)

    struct!(
      %WasiOptions{
        args: argv,
        stdin: stdin,
        stdout: stdout,
        stderr: stderr,
        preopen: options.dirs,
        max_output: max_output,
        counted: counted
      },
      granted
    )
  end

  # A limit that was asked for counts everything, the default one only what is kept in memory.
  defp max_output(%{max_output: :infinity}), do: {nil, []}
  defp max_output(%{max_output: n}) when is_integer(n), do: {n, [:stdout, :stderr]}

  defp max_output(options) do
    captured =
      for {stream, :capture} <- [stdout: options.stdout, stderr: stderr(options)], do: stream

    {@captured, captured}
  end

  defp stderr(%{stderr: :stdout, stdout: stdout}), do: stdout
  defp stderr(%{stderr: stderr}), do: stderr
end
