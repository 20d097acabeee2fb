defmodule Wasmex.Trace do
  @moduledoc """
  A traced call of a program to WASI or to an imported Elixir function. The `trace:` option of
  `Wasmex.run/3` passes these to a function.

  - `:namespace`, `:name`: the function called
  - `:args`: a keyword list for WASI (names as in the interface's definition), a list for Elixir
    functions. Data is `{:bytes, length, first_bytes}`; flags are lists of atoms.
  - `:result`: `:ok` or the error's name (`:noent`, `:notcapable`, …), `{:exit, status}`, `:trap`,
    `:unfinished` if the program was stopped during the call; `{:returned, value}` or
    `{:raised, reason}` for Elixir functions
  - `:outputs`: the results of a successful WASI call; `[refused: text]` if a socket operation was denied, which names
    the option that has no rule for it
  - `:duration`: nanoseconds, including time spent waiting

  Events are delivered in the order of the calls, in the process that runs the program, at the end of the
  slice (at most a millisecond) in which the calls ended.

  ## Example

      iex> test = self()
      iex> wat = ~s|(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
      ...>   (memory (export "memory") 1) (func (export "_start") (drop (call $y))))|
      iex> {:ok, _run} = Wasmex.run(wat, [], trace: &send(test, {:trace, &1}))
      iex> assert_received {:trace, %Wasmex.Trace{name: "sched_yield"} = event}
      iex> Wasmex.Trace.format(%{event | duration: 4_000})
      "sched_yield() = ok <4 µs>"
  """

  alias Wasmex.{Native, Printable}

  defstruct [:namespace, :name, :result, args: [], outputs: [], duration: 0]

  @type t :: %__MODULE__{
          namespace: String.t(),
          name: String.t(),
          args: keyword() | list(),
          result: atom() | {:exit, integer()} | {:returned, term()} | {:raised, term()},
          outputs: keyword(),
          duration: non_neg_integer()
        }

  @wasi "wasi_snapshot_preview1"

  @doc """
  Formats an event as a line, in the style of strace:

      iex> event = %Wasmex.Trace{name: "fd_write", args: [fd: 1, data: {:bytes, 12, "Hello wasip1"}], result: :ok, duration: 4_000}
      iex> Wasmex.Trace.format(event)
      ~s|fd_write(1, 12 bytes "Hello wasip1") = ok <4 µs>|
  """
  @spec format(t()) :: String.t()
  def format(%__MODULE__{} = event) do
    args = event.args |> Enum.map(&value/1) |> Enum.reject(&(&1 == "")) |> Enum.join(", ")
    Printable.line("#{name(event)}(#{args}) = #{result(event)} <#{duration(event.duration)}>")
  end

  defp name(%{namespace: namespace, name: name}) when namespace in [nil, @wasi], do: name
  defp name(%{namespace: namespace, name: name}), do: "#{namespace}.#{name}"

  defp value({name, value}) when is_atom(name), do: value(value)
  defp value({:bytes, length, ""}), do: "#{length} bytes"

  defp value({:bytes, length, start}) do
    more = if byte_size(start) < length, do: "…"
    "#{length} bytes #{text(start)}#{more}"
  end

  defp value([]), do: ""
  defp value([flag | _] = flags) when is_atom(flag), do: Enum.join(flags, "|")
  defp value(name) when is_atom(name) and name not in [nil, true, false], do: Atom.to_string(name)
  defp value(bytes) when is_binary(bytes), do: text(bytes)
  defp value(other), do: inspect(other, limit: 5, printable_limit: 60)

  # Removes an incomplete character at the end.
  defp text(bytes) do
    case :unicode.characters_to_binary(bytes) do
      text when is_binary(text) -> inspect(text)
      {:incomplete, text, _} -> inspect(text)
      {:error, _, _} -> inspect(bytes, limit: 16)
    end
  end

  defp result(%{result: :ok, outputs: []}), do: "ok"

  defp result(%{result: :ok, outputs: outputs}) do
    "ok " <> Enum.map_join(outputs, ", ", &output/1)
  end

  defp result(%{result: {:exit, status}}), do: "exit #{status}"
  defp result(%{result: {:returned, value}}), do: inspect(value, limit: 5, printable_limit: 60)
  defp result(%{result: {:raised, reason}}), do: "raised #{inspect(reason, limit: 5)}"

  defp result(%{result: name, outputs: [refused: why]}), do: "#{name} (#{why})"
  defp result(%{result: name}), do: Atom.to_string(name)

  defp output({_name, {:bytes, _, _} = bytes}), do: value(bytes)
  defp output({name, value}), do: "#{name} #{value(value)}"

  defp duration(ns) when ns < 1_000, do: "#{ns} ns"
  defp duration(ns) when ns < 1_000_000, do: "#{div(ns, 1_000)} µs"
  defp duration(ns) when ns < 1_000_000_000, do: "#{div(ns, 1_000_000)} ms"
  defp duration(ns), do: "#{Float.round(ns / 1_000_000_000, 2)} s"

  @doc false
  # Delivers the events since the last time.
  @spec deliver((t() -> term()) | nil, reference(), boolean()) :: :ok
  def deliver(nil, _store, _ended?), do: :ok

  def deliver(tell, store, ended?) do
    {events, dropped} = Native.trace_take(store, ended?)

    for {name, args, result, outputs, duration} <- events do
      tell.(%__MODULE__{
        namespace: @wasi,
        name: name,
        args: args,
        result: result,
        outputs: outputs,
        duration: duration
      })
    end

    if dropped > 0, do: tell.(%__MODULE__{name: "…", result: :dropped, args: [count: dropped]})
    :ok
  end

  @doc false
  # The observer for calls to Elixir functions, see `Wasmex.Call`.
  @spec observer((t() -> term()) | nil) :: (tuple() -> term()) | nil
  def observer(nil), do: nil

  def observer(tell) do
    fn
      {:start, namespace, name, params, store} ->
        # Deliver earlier events first.
        deliver(tell, store, false)

        {namespace, name, params, System.monotonic_time(),
         Wasmex.Call.span({:start, namespace, name, params, store})}

      {:stop, {namespace, name, params, start, span}, outcome} ->
        duration = System.convert_time_unit(System.monotonic_time() - start, :native, :nanosecond)
        Wasmex.Call.span({:stop, span, outcome})

        tell.(%__MODULE__{
          namespace: namespace,
          name: name,
          args: params,
          result: outcome(outcome),
          duration: duration
        })
    end
  end

  defp outcome({:returned, _value} = returned), do: returned
  defp outcome(%{exception: reason}), do: {:raised, reason}
end
