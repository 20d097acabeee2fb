defmodule Wasmex.Wasi.WasiOptions do
  @moduledoc """
  What the guests of a store get of WASI preview 1. Nothing is granted by default.

  | field | default | meaning |
  |---|---|---|
  | `:args` | `[]` | the whole argv, the program's name first |
  | `:env` | `%{}` | environment variables; none of the VM's own |
  | `:stdin` | `nil` | `nil` or `:null` (end of file), a `Wasmex.Pipe`, or `:inherit` |
  | `:stdout`, `:stderr` | `nil` | `nil` or `:null` (discarded), a `Wasmex.Pipe`, or `:inherit` |
  | `:preopen` | `[]` | directories, see `Wasmex.Wasi.PreopenOptions` |
  | `:clock` | `:real` | `:real`, or a `DateTime` at which all clocks stand still |
  | `:seed` | `nil` | an integer makes all randomness repeatable; `nil` is the system's |
  | `:max_output` | `nil` | bytes that may be printed to pipes, `:stdout` and `:stderr` together; a guest that prints more is stopped |
  | `:counted` | both | which of `[:stdout, :stderr]` count for `:max_output` |

  ## Example

      iex> {:ok, stdout} = Wasmex.Pipe.new()
      iex> options = %Wasmex.Wasi.WasiOptions{args: ["prog", "-v"], env: %{"LANG" => "C"}, stdout: stdout}
      iex> {:ok, _store} = Wasmex.Store.new_wasi(options)
  """

  alias Wasmex.Pipe
  alias Wasmex.Wasi.PreopenOptions

  defstruct stdin: nil,
            stdout: nil,
            stderr: nil,
            args: [],
            env: %{},
            preopen: [],
            clock: :real,
            seed: nil,
            max_output: nil,
            counted: [:stdout, :stderr]

  @type stdio :: Pipe.t() | :inherit | :null | nil
  @type t :: %__MODULE__{
          stdin: stdio(),
          stdout: stdio(),
          stderr: stdio(),
          args: [String.t()],
          env: %{String.t() => String.t()},
          preopen: [PreopenOptions.t()],
          clock: :real | DateTime.t(),
          seed: non_neg_integer() | nil,
          max_output: non_neg_integer() | nil,
          counted: [:stdout | :stderr]
        }

  defmodule Native do
    @moduledoc false
    defstruct [
      :stdin,
      :stdout,
      :stderr,
      :args,
      :env,
      :preopen,
      :clock,
      :seed,
      :max_output,
      :counted,
      # What only components have: `Wasmex.Wasi.WasiP2Options.Native`.
      :p2
    ]
  end

  @doc false
  def to_native!(%__MODULE__{} = options) do
    %Native{
      stdin: stdio!(:stdin, options.stdin),
      stdout: stdio!(:stdout, options.stdout),
      stderr: stdio!(:stderr, options.stderr),
      args: options.args |> list!(:args) |> Enum.map(&text!(:args, &1)),
      env: env!(options.env),
      preopen: options.preopen |> list!(:preopen) |> Enum.map(&PreopenOptions.to_native!/1),
      clock: clock!(options.clock),
      seed: seed!(options.seed),
      max_output: max_output!(options.max_output),
      counted: counted!(options.counted)
    }
  end

  defp stdio!(_field, nil), do: :null
  defp stdio!(_field, value) when value in [:null, :inherit], do: value
  defp stdio!(_field, %Pipe{resource: resource}) when is_reference(resource), do: resource
  defp stdio!(field, other), do: fail(field, "a Wasmex.Pipe, :inherit, :null or nil", other)

  defp list!(list, _field) when is_list(list), do: list
  defp list!(other, field), do: fail(field, "a list", other)

  defp env!(env) when is_map(env) and not is_struct(env) do
    for {key, value} <- env do
      if is_binary(key) and (key == "" or :binary.match(key, "=") != :nomatch),
        do: fail(:env, "names without = that are not empty", key)

      {text!(:env, key), text!(:env, value)}
    end
  end

  defp env!(other), do: fail(:env, "a map of strings", other)

  defp text!(field, text) when is_binary(text) do
    if Wasmex.Utils.text?(text),
      do: text,
      else: fail(field, "UTF-8 without NUL", text)
  end

  defp text!(field, other), do: fail(field, "strings", other)

  defp clock!(:real), do: nil

  defp clock!(%DateTime{} = time) do
    case DateTime.to_unix(time, :nanosecond) do
      ns when ns in 0..0x7FFF_FFFF_FFFF_FFFF -> ns
      _ -> fail(:clock, "a time between 1970 and 2262", time)
    end
  end

  defp clock!(other), do: fail(:clock, ":real or a DateTime", other)

  defp seed!(nil), do: nil
  defp seed!(seed) when is_integer(seed) and seed in 0..0xFFFF_FFFF_FFFF_FFFF, do: seed
  defp seed!(other), do: fail(:seed, "nil or an integer from 0 to 2^64 - 1", other)

  defp max_output!(nil), do: nil
  defp max_output!(n) when is_integer(n) and n in 0..0x7FFF_FFFF_FFFF_FFFF, do: n
  defp max_output!(other), do: fail(:max_output, "nil or a number of bytes", other)

  defp counted!(streams) do
    if is_list(streams) and streams -- [:stdout, :stderr] == [],
      do: streams,
      else: fail(:counted, "a list of :stdout and :stderr", streams)
  end

  @spec fail(atom(), String.t(), term()) :: no_return()
  defp fail(field, expected, got),
    do:
      raise(
        ArgumentError,
        "invalid value for #{inspect(field)} in %Wasmex.Wasi.WasiOptions{}: expected #{expected}, got: #{inspect(got)}"
      )
end
