defmodule Wasmex.Error do
  @moduledoc """
  An error other than a trap or an exit. `reason` is its kind, and `details` a map that depends on the kind.

  | reason | details |
  |---|---|
  | `:timeout` | `:timeout` in ms; for a pipe or a `Wasmex.Program`, `:message` |
  | `:value` | `:position` from 0 (or `nil`), `:expected` type, `:got` kind of term |
  | `:arity` | `:expected`, `:got` |
  | `:params` | `:message`: the parameters are not a list, the handle belongs to another resource, or the guest exports no allocator for bytes |
  | `:unknown_export` | `:kind`, `:name`, `:names` of exports, without those of more than 256 bytes |
  | `:missing_import` | `:namespace`, `:name`, `:expected` type, `:names` of all missing imports, and `:given`, those that were passed |
  | `:incompatible_import`, `:duplicate_import` | `:message` |
  | `:import_raised` | `:kind`, `:exception`, `:stacktrace` of the Elixir function, `:backtrace` of the guest |
  | `:bad_results` | `:message`: an imported function returned a value of the wrong type |
  | `:compile`, `:parse`, `:component`, `:config`, `:artefact`, `:wasi`, `:guest`, `:grow`, `:no_threads`, `:module`, `:unsupported`, `:wave`, `:json` | `:message`; for `:parse` also `:offset` |
  | `:too_large`, `:nested_too_deep` | `:limit` (a field of `Wasmex.Limits`), `:value`, the maximum as `:most`, and `:offset` in bytes |
  | `:no_ticker` | the system has no thread left for the epoch ticker, which every guest needs |
  | `:call_depth` | `:limit`: calls into the store are nested deeper than this |
  | `:mapping_limit` | `:limit`: the guests of this VM use the maximum number of memory mappings |
  | `:compile_timeout`, `:compile_memory`, `:compile_queue_full` | `:limit` in ms, bytes or number of compiles, see `Wasmex.Compiler` |
  | `:cache` | `:path`, `:message`: what is wrong with the directory of a disk cache |
  | `:compile_crash`, `:compiler` | `:message`: what happened to the compiler helper, or what is wrong with it |
  | `:out_of_bounds` | `:offset`, `:size`, `:limit` |
  | `:output_limit` | `:limit` in bytes |
  | `:input`, `:output` | `:message`: a source of input or a destination of output failed |
  | `:file`, `:not_a_program` | `:path`, `:message` |
  | `:conversion` | an argument of a component's function has the wrong type: `:problem` is its kind, `:path` its place |
  | `:bad_value` | `:message`: the same for the result of an imported function |
  | `:unknown_path` | `:path`, `:position` of the unknown name, `:names` of the exports there |
  | `:missing_imports` | `:names`: interface, name and type of each |
  | `:spent` | a component's call ended in the middle; no component of the store can run again |
  | `:closed`, `:broken`, `:cancelled`, `:deadlock` | the store was closed, was lost to a panic, its call was cancelled, or waiting for it would never end; `:message` for a closed pipe or program |
  | `:full` | a pipe reached its capacity; `:written` bytes were written |
  | `:caller_expired`, `:caller_elsewhere` | a `caller` was used after its import returned, or by another process |
  | `:foreign_store`, `:foreign_engine`, `:foreign_node` | a handle of another store, engine or node |
  | `:fuel_disabled`, `:immutable` | `:message` |
  | `:oom` | a plug-in exceeded its memory limit: `:pages` of growth, `:bytes` in total, or nil; or the garbage-collected objects of a guest exceeded the limit of its store, `:heap` in bytes |
  | `:manifest`, `:schema`, `:signature`, `:wrong_type` | `:message`, for plug-ins |
  | `:code_unavailable`, `:code_damaged` | a `Wasmex.Code` whose bytes no node has, or do not match its hash: `:hash`, `:message` |
  | `:not_deployed`, `:not_allowed` | `Wasmex.Deploy`: `:name`, `:message` |
  | `:overloaded` | `:message`: the queue of a pool is full |
  | `:snapshot` | `:message`: why no snapshot can be taken |
  | `:node_down`, `:no_majority` | `Wasmex.Cluster`: `:message`, and the lost `:node` or `:nodes` |
  | `:rate_limited` | a key of a pool has used up its limit per second: `:key`, `:limit`, `:retry_after` in ms |

  `run` is set for errors of `Wasmex.run/3`: the output and measurements up to the error.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (func (export "add")))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:error, error} = Wasmex.Instance.call(instance, "ad", [])
      iex> error.reason
      :unknown_export
      iex> Exception.message(error)
      ~s|there is no exported function "ad"; did you mean "add"?|
  """

  alias Wasmex.{Exit, Printable, Trap}
  alias Wasmex.Components.Conversion

  defexception [:reason, details: %{}, run: nil]

  @type t :: %__MODULE__{reason: atom(), details: map(), run: Wasmex.Run.t() | nil}

  @doc false
  # The only conversion of native errors to exceptions. `raised` is the exception of an imported function,
  # kept by the process that ran it.
  @spec from_native({atom(), term()}, map() | nil) :: Exception.t()
  def from_native(native, raised \\ nil)

  def from_native({:trap, details}, _raised), do: struct(Trap, details)
  def from_native({:exit, %{code: status}}, _raised), do: %Exit{status: status}

  def from_native({:import_raised, details}, raised) when raised != nil,
    do: %__MODULE__{reason: :import_raised, details: Map.merge(details, raised)}

  def from_native({reason, details}, _raised), do: %__MODULE__{reason: reason, details: details}

  @impl true
  # Details may contain text from the guest.
  def message(%__MODULE__{reason: reason, details: details}),
    do: reason |> sentence(details) |> Printable.message()

  defp sentence(:timeout, %{message: message}), do: message
  defp sentence(:timeout, %{timeout: ms}), do: "the call was stopped after #{ms} ms (timeout)"
  defp sentence(:cancelled, _), do: "the call was cancelled"
  defp sentence(:closed, %{message: message}), do: message
  defp sentence(:closed, _), do: "the store is closed"

  defp sentence(:broken, %{message: why}),
    do: "the store was lost because of a fault in the native library: #{why}"

  defp sentence(:deadlock, _),
    do:
      "waiting would never end: the store is in use by a call that waits for this process; " <>
        "inside an imported function, use the store or `caller` from the same process"

  defp sentence(:caller_expired, _),
    do: "Caller is no longer valid: its import has returned; use the store"

  defp sentence(:caller_elsewhere, _),
    do: "a caller can only be used by the process that runs the import; use the store instead"

  defp sentence(:foreign_store, %{kind: kind}), do: "the #{kind} belongs to another store"

  defp sentence(:foreign_node, %{kind: kind}),
    do: "the #{kind} belongs to another node: handles can only be used on their own node"

  defp sentence(:foreign_engine, %{message: what}),
    do:
      "the #{what} was made with another engine: cross-`Engine` instantiation is not currently supported"

  defp sentence(:compile_timeout, %{limit: ms}),
    do: "the compile was stopped after #{ms} ms (compile_timeout)"

  defp sentence(:compile_memory, %{message: message}), do: message

  defp sentence(:compile_memory, %{limit: bytes}),
    do: "the compile needs more than #{bytes} bytes of memory (compile_memory)"

  defp sentence(:compile_queue_full, %{limit: most}),
    do: "#{most} compiles are already waiting (config :wasmex, compile_queue: #{most})"

  defp sentence(:compile_crash, %{message: why}),
    do: "the compiler helper crashed: #{why}"

  defp sentence(:no_ticker, _),
    do: "the system has no thread left for the epoch ticker, which every guest needs"

  defp sentence(:call_depth, %{limit: limit}),
    do:
      "calls into this store are nested more than #{limit} deep: an imported function calls the guest, which " <>
        "calls an imported function again; the limit is `call_depth` in Wasmex.StoreLimits"

  defp sentence(:mapping_limit, %{limit: limit}),
    do:
      "the guests of this VM use #{limit} memory mappings, half of what the system allows a process; close stores, " <>
        "use an engine with `density: true`, or raise vm.max_map_count"

  defp sentence(:arity, %{expected: expected, got: got}),
    do: "number of params does not match. expected #{expected}, got #{got}"

  defp sentence(:value, %{position: nil} = details),
    do: "Cannot convert to a WebAssembly #{type(details)} value.#{got(details)}"

  defp sentence(:value, %{position: position} = details),
    do:
      "Cannot convert argument ##{position + 1} to a WebAssembly #{type(details)} value.#{got(details)}"

  defp sentence(:unknown_export, %{kind: kind, name: name, names: names}),
    do: "there is no exported #{word(kind)} #{shown(name)}#{suggestion(name, names)}"

  defp sentence(:missing_import, details) do
    %{namespace: namespace, name: name, expected: expected, names: names} = details

    others =
      Printable.list(tl(names), ", ", fn {namespace, name} -> import_name(namespace, name) end)

    "unknown import: #{import_name(namespace, name)} has not been defined (expected: #{expected})" <>
      if(others == "", do: "", else: "; also missing: #{others}") <>
      given(namespace, name, Map.get(details, :given, [])) <>
      wasi_hint(names)
  end

  defp sentence(:conversion, problem), do: Conversion.sentence(problem)

  defp sentence(:bad_value, %{message: problem}),
    do: "an imported function returned a wrong value: #{Conversion.sentence(problem)}"

  defp sentence(:spent, _),
    do:
      "a component call in this store ended in the middle (a trap, a timeout, a failed import), so its " <>
        "components cannot run again; create a new store and instance"

  defp sentence(:unknown_path, %{path: path, position: position, names: names}) do
    name = Enum.at(path, position, "")
    place = if position > 0, do: " in #{shown(hd(path))}", else: ""
    "there is no exported function #{shown(name)}#{place}#{suggestion(name, names)}"
  end

  defp sentence(:missing_imports, %{names: names}) do
    list =
      Printable.list(names, "\n", fn {interface, name, type} ->
        "  #{if interface, do: "#{Printable.name(interface)} "}#{Printable.name(name)}: #{type}"
      end)

    "missing imports:\n#{list}"
  end

  defp sentence(:import_raised, %{kind: kind, exception: reason} = details),
    do:
      "an imported function failed: " <>
        Exception.format_banner(kind, reason, Map.get(details, :stacktrace, []))

  defp sentence(:bad_results, %{message: message}),
    do: "an imported function returned a wrong value: #{message}"

  defp sentence(:out_of_bounds, %{offset: offset, size: size, limit: limit}),
    do: "out of bounds access: #{size} at #{offset}, of #{limit}"

  defp sentence(:oom, %{heap: bytes}),
    do:
      "oom: the objects of the guest take more memory than it may have: #{bytes} bytes for its memories and " <>
        "objects (memory_size)"

  defp sentence(:oom, %{pages: pages, bytes: bytes}) do
    limits =
      for {limit, text} <- [
            {pages, "max_pages is #{pages}"},
            {bytes, "max_memory is #{bytes} bytes"}
          ],
          limit != nil,
          do: text

    "oom: the plug-in exceeded its memory limit" <>
      if(limits == [], do: "", else: " (#{Enum.join(limits, ", ")})")
  end

  defp sentence(:output_limit, %{limit: limit}),
    do: "the program was stopped: it printed more than #{limit} bytes (max_output)"

  defp sentence(:too_large, %{limit: size, value: value, most: most})
       when size in [:size, :text_size],
       do: "the size of #{value} bytes exceeds the limit of #{most}" <> raise_limit(size)

  defp sentence(:too_large, %{limit: limit, value: value, most: most, offset: offset}),
    do:
      "the bytes have more than #{most} #{words(limit)} (#{value} at offset 0x#{hex(offset)})" <>
        raise_limit(limit)

  defp sentence(:nested_too_deep, %{limit: limit, most: most, offset: offset}),
    do:
      "the bytes are nested too deep: more than #{most} levels at offset 0x#{hex(offset)}" <>
        raise_limit(limit)

  defp sentence(reason, %{message: message})
       when reason in [:incompatible_import, :duplicate_import] do
    {first, causes} = Printable.outermost(message)
    first <> causes
  end

  defp sentence(:parse, %{message: message, offset: offset}),
    do: "Error while parsing bytes: #{message} (at offset 0x#{Integer.to_string(offset, 16)})"

  defp sentence(:parse, %{message: message}), do: "Error while parsing bytes: #{message}"
  defp sentence(:compile, %{message: message}), do: "Could not compile module: #{message}"
  defp sentence(_reason, %{message: message}), do: message
  defp sentence(reason, details), do: "#{reason} #{inspect(details)}"

  defp raise_limit(limit),
    do: "; for trusted bytes, raise `#{limit}` in the `limits:` of %Wasmex.EngineConfig{}"

  defp words(limit), do: limit |> Atom.to_string() |> String.replace("_", " ")
  defp hex(number), do: Integer.to_string(number, 16)

  defp type(%{expected: expected}) do
    case expected do
      "externref" -> "(ref null extern)"
      "funcref" -> "(ref null func)"
      other -> other
    end
  end

  defp got(%{got: kind}) when kind in [:Integer, :Float], do: ""
  defp got(%{got: kind}), do: " Given `#{kind}`."

  defp word(:func), do: "function"
  defp word(kind), do: Atom.to_string(kind)

  defp import_name(namespace, name),
    do: "`#{Printable.name(namespace)}::#{Printable.name(name)}`"

  # The given import that is probably meant: a similar name, or the same one elsewhere.
  defp given(namespace, name, given) do
    beside = for {^namespace, other} <- given, do: other
    elsewhere = for {other, ^name} <- given, do: {other, name}

    case for(other <- close(name, beside), do: {namespace, other}) ++ Enum.take(elsewhere, 3) do
      [] ->
        ""

      meant ->
        names =
          Enum.map_join(meant, ", ", fn {namespace, name} -> import_name(namespace, name) end)

        "; the imports have #{names} instead"
    end
  end

  @preview1 ~w(args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_advise fd_allocate
               fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get
               fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read
               fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory path_filestat_get
               path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename path_symlink
               path_unlink_file poll_oneoff proc_exit proc_raise sched_yield random_get sock_accept sock_recv sock_send
               sock_shutdown)

  # Preview 1 is defined completely or not at all, so a missing function means that it was not enabled.
  defp wasi_hint(names) do
    wasi = for {"wasi_" <> _ = namespace, name} <- names, do: {namespace, name}

    unknown =
      Enum.reject(wasi, fn {ns, name} -> ns == "wasi_snapshot_preview1" and name in @preview1 end)

    cond do
      wasi == [] ->
        ""

      unknown == [] ->
        "; this module needs WASI: pass `wasi: true`, or make the store with Wasmex.Store.new_wasi/3"

      true ->
        "; this host does not provide #{Printable.list(unknown, ", ", fn {ns, name} -> import_name(ns, name) end)}"
    end
  end

  # Limits for the comparison of names: a guest may export a hundred thousand names, a caller may give one of megabytes.
  @compared 1_000
  @compared_size 100

  @doc false
  # Names are all strings or all atoms. They are inspected.
  @spec suggestion(term(), [String.t() | atom()]) :: String.t()
  def suggestion(name, names) do
    case close(text(name), names) do
      [] when names == [] -> "; there are none"
      [] -> "; there are: #{Printable.list(names, ", ", &shown/1)}"
      close -> "; did you mean #{Enum.map_join(close, " or ", &shown/1)}?"
    end
  end

  defp close(name, _names) when byte_size(name) > @compared_size, do: []

  defp close(name, names) do
    names
    |> Enum.take(@compared)
    |> Enum.filter(&(byte_size(text(&1)) <= @compared_size))
    |> Enum.map(&{String.jaro_distance(name, text(&1)), &1})
    |> Enum.filter(fn {distance, _} -> distance > 0.7 end)
    |> Enum.sort(:desc)
    |> Enum.take(3)
    |> Enum.map(&elem(&1, 1))
  end

  # A name, or whatever a caller gave in its place.
  defp shown(name), do: inspect(name, limit: 20, printable_limit: 256)

  defp text(name) when is_binary(name), do: name
  defp text(name) when is_atom(name), do: Atom.to_string(name)
  defp text(name), do: shown(name)
end
