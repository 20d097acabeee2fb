defmodule Wasmex.Program.Options do
  @moduledoc false
  # The validated options of a program, see `Wasmex.run/3`.

  use Wasmex.Options, rows: Wasmex.Options.Program.rows(), place: "Wasmex.run/3"

  alias Wasmex.{Error, Options}
  alias Wasmex.Options.WASI
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  # The default limit for captured output.
  @captured 64 * 1024 * 1024

  # Options of programs that stores also have.
  @granted Keyword.keys(WASI.granted() ++ WASI.network())

  # Options of modules only.
  @files Keyword.keys(WASI.files())

  # Options that stores of modules have, with their defaults.
  @stored @options.defaults |> Map.take(@granted ++ @files) |> Map.to_list()

  # Options that modules do not support. They are errors, so that users do not rely on them.
  @http Keyword.keys(WASI.http())

  @doc "Validates options. `defaults` are those of the calling function."
  @spec new!(keyword(), keyword()) :: t()
  def new!(opts, defaults \\ []),
    # The struct is the map of defaults: they are too many to be copied for each run.
    do: Options.new!(opts, %{@options | defaults: %__MODULE__{}}, defaults)

  @doc "A table with further options, which may replace options of programs."
  @spec table(keyword(keyword()), String.t()) :: Options.t()
  def table(own, place), do: Options.table(Keyword.merge(Options.Program.rows(), own), place)

  @doc "Validates options with such a table. Returns its own options and those of the program."
  @spec split!(keyword(), Options.t(), keyword(keyword()), keyword()) :: {map(), t()}
  def split!(opts, table, own, defaults) do
    {own, options} = opts |> Options.new!(table, defaults) |> Map.split(Keyword.keys(own))
    {own, of(options)}
  end

  # All keys are fields, so the checks of `struct!/2` are not needed.
  defp of(options), do: Map.merge(%__MODULE__{}, options)

  @doc "Checks host directories, because wasmtime's error does not name the missing one."
  @spec check_dirs(t()) :: :ok | {:error, Error.t()}
  def check_dirs(%{dirs: dirs}) do
    case Enum.find(dirs, &(not File.dir?(&1.path))) do
      nil ->
        :ok

      %{path: path, alias: guest} ->
        why = if File.exists?(path), do: "is not a directory", else: "does not exist"
        message = "dirs: the host directory #{inspect(path)} for #{inspect(guest)} #{why}"
        {:error, %Error{reason: :wasi, details: %{path: path, message: message}}}
    end
  end

  @doc "The options for WASI 0.2, with argv and the pipes of the standard streams."
  @spec preview2(t(), [String.t()], tuple()) :: WasiP2Options.t()
  def preview2(options, argv, pipes) do
    refuse!(options, @files, "requires a module")
    granted = options |> preview1(argv, pipes) |> Map.from_struct() |> Map.drop(@files)
    http = Map.take(options, @http)

    WasiP2Options.nothing() |> struct!(granted) |> struct!(http)
  end

  @doc "Raises for options that WASI preview 1 does not support."
  @spec refuse_http!(t()) :: :ok
  def refuse_http!(options),
    do: refuse!(options, @http, "requires a component; WASI preview 1 has no HTTP requests")

  defp refuse!(options, keys, why) do
    for key <- keys, Map.fetch!(options, key) != @options.defaults[key] do
      raise ArgumentError, "#{key}: #{why}"
    end

    :ok
  end

  @doc "The options for WASI preview 1, with argv and the pipes of the standard streams."
  @spec preview1(t(), [String.t()], tuple()) :: WasiOptions.t()
  def preview1(options, argv, {stdin, stdout, stderr}) do
    {max_output, counted} = max_output(options)

    wasi = %WasiOptions{
      args: argv,
      stdin: stdin,
      stdout: stdout,
      stderr: stderr,
      preopen: options.dirs,
      max_output: max_output,
      counted: counted
    }

    # Most have their defaults, which are the same there.
    for {name, default} <- @stored,
        %{^name => value} = options,
        value !== default,
        reduce: wasi,
        do: (wasi -> Map.put(wasi, name, value))
  end

  # An explicit limit counts all output, the default limit only captured output.
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
