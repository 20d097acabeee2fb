defmodule Wasmex.Program.Options do
  @moduledoc false
  # The options of a program, checked: see `Wasmex.run/3` for what they mean.

  alias Wasmex.{Engine, Error, Module}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  # What is captured without a limit of the user's own.
  @captured 64 * 1024 * 1024

  defstruct stdin: nil,
            stdout: :capture,
            stderr: :capture,
            name: nil,
            env: %{},
            dirs: [],
            timeout: :infinity,
            fuel: nil,
            max_memory: nil,
            max_output: nil,
            clock: :real,
            seed: nil,
            imports: %{},
            links: %{},
            invoke: nil,
            engine: nil,
            trace: nil,
            profile: false,
            core_dump: false,
            # How the program is entered, where that is neither its start nor `invoke:`: a `Wasmex.Program.Entry`.
            entry: nil,
            # Of components alone.
            tcp: [],
            udp: [],
            listen: [],
            lookup: [],
            allow_http: false,
            allowed_hosts: nil,
            http: nil

  @type t :: %__MODULE__{}

  @keys [
    :stdin,
    :stdout,
    :stderr,
    :name,
    :env,
    :dirs,
    :timeout,
    :fuel,
    :max_memory,
    :max_output,
    :clock,
    :seed,
    :imports,
    :links,
    :invoke,
    :engine,
    :trace,
    :profile,
    :core_dump,
    :tcp,
    :udp,
    :listen,
    :lookup,
    :allow_http,
    :allowed_hosts,
    :http
  ]

  @doc "Raises for what makes no sense; `defaults` are those of the function that asks."
  def new!(opts, defaults \\ []) do
    unless Keyword.keyword?(opts),
      do: raise(ArgumentError, "expected a keyword list of options, got: #{inspect(opts)}")

    Wasmex.Utils.known!(opts, @keys)

    options = struct!(__MODULE__, Keyword.merge(defaults, opts))
    for key <- @keys, do: check!(key, Map.fetch!(options, key))

    %{
      options
      | env: env!(options.env),
        dirs: dirs!(options.dirs),
        imports: Wasmex.Utils.stringify_keys(options.imports),
        links: Wasmex.Utils.stringify_keys(options.links)
    }
  end

  defp check!(key, value) do
    unless valid?(key, value),
      do: raise(ArgumentError, "#{key}: must be #{expected(key)}, got: #{inspect(value)}")
  end

  defp valid?(:timeout, value), do: value == :infinity or (is_integer(value) and value >= 0)

  defp valid?(key, value) when key in [:fuel, :max_memory, :seed],
    do: value == nil or natural?(value)

  defp valid?(:max_output, value), do: value in [nil, :infinity] or natural?(value)
  defp valid?(:clock, value), do: value == :real or is_struct(value, DateTime)
  defp valid?(:engine, value), do: value == nil or is_struct(value, Engine)
  defp valid?(:trace, value), do: value == nil or is_function(value, 1)
  defp valid?(:name, value), do: value == nil or is_binary(value)
  defp valid?(:imports, value), do: is_map(value) and not is_struct(value)

  defp valid?(:links, value),
    do: is_map(value) and Enum.all?(value, fn {_, module} -> is_struct(module, Module) end)

  defp valid?(:invoke, {name, params}), do: is_binary(name) and is_list(params)
  defp valid?(:invoke, value), do: value == nil
  defp valid?(key, value) when key in [:profile, :core_dump], do: is_boolean(value)
  defp valid?(_key, _value), do: true

  defp natural?(value), do: is_integer(value) and value in 0..0x7FFF_FFFF_FFFF_FFFF

  defp expected(:timeout), do: "milliseconds or :infinity"
  defp expected(:max_output), do: "a number of bytes or :infinity"
  defp expected(:clock), do: ":real or a DateTime"
  defp expected(:engine), do: "a %Wasmex.Engine{}"
  defp expected(:trace), do: "a function of one argument"
  defp expected(:name), do: "a string"
  defp expected(:imports), do: "a map of namespaces"
  defp expected(:links), do: "a map of names and modules, %{\"lib\" => %Wasmex.Module{}}"
  defp expected(:invoke), do: "a function's name and its parameters, {\"name\", [1, 2]}"
  defp expected(key) when key in [:profile, :core_dump], do: "true or false"
  defp expected(_key), do: "a non-negative integer"

  defp env!(env) when is_map(env) or is_list(env) do
    Map.new(env, fn
      {key, value} when (is_binary(key) or is_atom(key)) and is_binary(value) ->
        {to_string(key), value}

      other ->
        raise ArgumentError, "env: must be pairs of strings, got: #{inspect(other)}"
    end)
  end

  defp env!(other), do: raise(ArgumentError, "env: must be a map, got: #{inspect(other)}")

  # %{"/guest" => "host"} or %{"/guest" => {"host", :ro}}
  defp dirs!(dirs) when is_map(dirs) or is_list(dirs) do
    Enum.map(dirs, fn
      {guest, {host, mode}} when is_binary(guest) and is_binary(host) and mode in [:ro, :rw] ->
        %PreopenOptions{path: host, alias: guest, read_only: mode == :ro}

      {guest, host} when is_binary(guest) and is_binary(host) ->
        %PreopenOptions{path: host, alias: guest}

      other ->
        raise ArgumentError,
              "dirs: must be %{\"/guest\" => \"host\"} or %{\"/guest\" => {\"host\", :ro}}, got: #{inspect(other)}"
    end)
  end

  defp dirs!(other), do: raise(ArgumentError, "dirs: must be a map, got: #{inspect(other)}")

  @doc "Says which host directory is missing; wasmtime would only say that one is."
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

  # What a module can't use, and so is not to be believed granted.
  @network [:tcp, :udp, :listen, :lookup, :allow_http, :allowed_hosts, :http]

  @doc "What WASI 0.2 grants, given argv and the pipes of the standard streams."
  @spec preview2(t(), [String.t()], tuple()) :: WasiP2Options.t()
  def preview2(options, argv, pipes) do
    granted = options |> preview1(argv, pipes) |> Map.from_struct()
    network = Map.take(options, @network)

    WasiP2Options.nothing() |> struct!(granted) |> struct!(network)
  end

  @doc "Raises for what WASI preview 1 can't grant."
  @spec refuse_network!(t()) :: :ok
  def refuse_network!(options) do
    for key <- @network, Map.fetch!(options, key) != Map.fetch!(%__MODULE__{}, key) do
      raise ArgumentError, "#{key}: is for components; WASI preview 1 has no sockets"
    end

    :ok
  end

  @doc "What WASI preview 1 grants, given argv and the pipes of the standard streams."
  @spec preview1(t(), [String.t()], tuple()) :: WasiOptions.t()
  def preview1(options, argv, {stdin, stdout, stderr}) do
    {max_output, counted} = max_output(options)

    %WasiOptions{
      args: argv,
      env: options.env,
      stdin: stdin,
      stdout: stdout,
      stderr: stderr,
      preopen: options.dirs,
      clock: options.clock,
      seed: options.seed,
      max_output: max_output,
      counted: counted
    }
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
