defmodule Wasmex.Trap do
  @moduledoc """
  The guest trapped: it broke a WebAssembly rule or exhausted a resource.

  `code` is the kind of trap (core specification, section 4.4, and wasmtime's own traps):
  `:unreachable`, `:stack_overflow`, `:memory_out_of_bounds`, `:table_out_of_bounds`,
  `:indirect_call_to_null`, `:bad_signature`, `:integer_overflow`, `:integer_division_by_zero`,
  `:bad_conversion_to_integer`, `:out_of_fuel`, `:null_reference`, `:cast_failure`,
  `:array_out_of_bounds`, `:allocation_too_large`, `:uncaught_exception`, …

  `backtrace` is a list of frames, innermost first, each a map with `:module_name`, `:func_name` (demangled),
  `:func_index`, `:func_offset`, `:module_offset` and `:symbols` (a list of `:name`, `:file`, `:line`,
  `:column`; filled if the module has debug information and the engine was created with
  `wasm_backtrace_details: true`). `detail` is wasmtime's text, including the backtrace.

  `run` is set for traps of `Wasmex.run/3`: the output and measurements up to the trap.

  `Exception.message/1` has the cause, the guest's own frames nearest to the trap, and the last lines of standard error
  if `run` has them, where Rust and Go report a panic.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "f") unreachable))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:error, trap} = Wasmex.Instance.call(instance, "f", [])
      iex> {trap.code, trap.message}
      {:unreachable, "wasm trap: wasm `unreachable` instruction executed"}
      iex> Exception.message(trap) =~ "in function 0"
      true
  """

  alias Wasmex.Printable

  defexception [:code, :message, :detail, backtrace: [], run: nil]

  @type t :: %__MODULE__{
          code: atom(),
          message: String.t(),
          detail: String.t(),
          backtrace: [map()],
          run: Wasmex.Run.t() | nil
        }

  @impl true
  def message(%__MODULE__{message: message} = trap),
    do: Enum.join([message] ++ frames(trap) ++ stderr(trap), "\n")

  # Limits of the backtrace and standard error in a message, which has to fit on a screen.
  @frames 5
  @lines 5
  @tail 2_000

  # Frames of language runtimes between a panic and the trap.
  @machinery ~w(std:: core:: alloc:: __rust rust_ __rg_ abort panic_abort:: _ZN3std _ZN4core wasi:: __wasi runtime.
                runtime/ wasm_export_ ~lib/ rt0_wasm)

  defp frames(%{backtrace: backtrace}) do
    own = Enum.reject(backtrace, &String.starts_with?(name(&1), @machinery))
    shown = if own == [], do: backtrace, else: own
    more = length(backtrace) - min(length(shown), @frames)
    lines = for frame <- Enum.take(shown, @frames), do: "    in #{name(frame)}#{place(frame)}"
    lines ++ if more > 0, do: ["    … #{more} more frames in :backtrace"], else: []
  end

  # With debug information, inlined functions have names too.
  defp name(%{symbols: [%{name: name} | _]}) when is_binary(name), do: Printable.name(name)
  defp name(%{func_name: name}) when is_binary(name), do: Printable.name(name)
  defp name(frame), do: "function #{frame[:func_index]}"

  defp place(%{symbols: [%{file: file, line: line} | _]}) when is_binary(file) do
    line = if line, do: ":#{line}", else: ""
    " (#{Printable.name(file)}#{line})"
  end

  defp place(%{module_offset: offset}) when is_integer(offset),
    do: " (at 0x#{offset |> Integer.to_string(16) |> String.downcase()})"

  defp place(_frame), do: ""

  defp stderr(%{run: %{stderr: stderr}}) when is_binary(stderr) and stderr != "" do
    start = max(byte_size(stderr) - @tail, 0)
    tail = binary_part(stderr, start, byte_size(stderr) - start)

    lines =
      tail
      |> String.split(["\r\n", "\n"], trim: true)
      |> Enum.take(-@lines)
      |> Enum.map(&("    " <> Printable.line(&1)))

    ["  standard error ends with:" | lines]
  end

  defp stderr(_trap), do: []

  defimpl Inspect do
    # One line, because a failed test shows it unchanged.
    def inspect(trap, _opts) do
      [first | rest] = trap |> Exception.message() |> String.split("\n")

      place =
        Enum.find_value(rest, "", fn
          "    in " <> place -> " in " <> place
          _ -> nil
        end)

      "#Wasmex.Trap<#{trap.code}: #{first}#{place}>"
    end
  end
end
