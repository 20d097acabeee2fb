defmodule Wasmex.Memory do
  @moduledoc """
  A guest's linear memory (core specification, section 2.5.8): bytes that both sides read and write.

  Functions that take a store are those of Wasmex 0.15. The others (`read/3`, `write/3`, `read_u32/2`, …)
  need only the memory, which knows its store. Numbers in memory are little-endian. Every function waits
  while another process uses the store.

  ## Example

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (memory (export "memory") 1))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      iex> {:ok, memory} = Wasmex.Memory.from_instance(store, instance)
      iex> Wasmex.Memory.write_binary(store, memory, 0, "hello")
      :ok
      iex> Wasmex.Memory.read_binary(store, memory, 1, 3)
      "ell"
      iex> Wasmex.Memory.write(memory, 8, ["ab", ?c, 0])
      :ok
      iex> Wasmex.Memory.read_cstring(memory, 8)
      {:ok, "abc"}
      iex> Wasmex.Memory.size(store, memory)
      65_536

  ## Errors

  An address outside of the memory returns `{:error, %Wasmex.Error{reason: :out_of_bounds}}`; functions
  of Wasmex 0.15 return `{:error, "out of bounds memory access"}`.
  """

  alias Wasmex.{Compat, Native, StoreOrCaller}
  alias Wasmex.Call.Access

  defstruct resource: nil, reference: nil

  @type t :: %__MODULE__{resource: reference() | nil, reference: reference()}
  @type address :: non_neg_integer()

  @max 0x7FFF_FFFF_FFFF_FFFF
  defguardp is_address(value) when is_integer(value) and value >= 0 and value <= @max

  # Copying a megabyte takes about 50 µs. Larger writes are split so that they do not block a scheduler, and larger reads
  # run on a dirty one.
  @chunk 1024 * 1024

  @options Wasmex.Options.table(
             [
               maximum: [
                 type: {:or, [nil], :natural},
                 default_doc: "none",
                 doc: "the maximum size in pages"
               ],
               memory64: [type: :boolean, default: false, doc: "whether addresses have 64 bits"]
             ],
             "Wasmex.Memory.new/3"
           )

  @doc """
  Creates a memory with this number of 64 KiB pages. Modules of the store can import it:

      iex> {:ok, store} = Wasmex.Store.new()
      iex> {:ok, memory} = Wasmex.Memory.new(store, 1, maximum: 4)
      iex> {:ok, module} = Wasmex.Module.compile(store, ~s|(module (import "env" "m" (memory 1 4))
      ...>   (func (export "get") (param i32) (result i32) local.get 0 i32.load8_u))|)
      iex> {:ok, instance} = Wasmex.Instance.new(store, module, %{env: %{m: memory}})
      iex> Wasmex.Memory.write(memory, 7, "A")
      iex> Wasmex.Instance.call(instance, "get", [7])
      {:ok, [65]}

  #{Wasmex.Options.Docs.table(@options)}

  It counts as one of the store's memories (`Wasmex.StoreLimits`).
  """
  @spec new(StoreOrCaller.t(), non_neg_integer(), keyword()) ::
          {:ok, t()} | {:error, Exception.t()}
  def new(store_or_caller, pages, opts \\ []) do
    {store, via} = StoreOrCaller.split(store_or_caller)
    pages = Wasmex.Options.argument!(pages, :pages, :natural, "Wasmex.Memory.new/3")
    %{maximum: maximum, memory64: memory64?} = Wasmex.Options.new!(opts, @options)
    make = fn -> Native.memory_new(store, pages, maximum, memory64?, via) end

    with {:ok, resource} <- Access.run(make, fn -> store end),
         do: {:ok, __wrap_resource__(resource)}
  end

  @doc "The memory of an instance: its export `memory`, else the first memory that it exports."
  @spec from_instance(StoreOrCaller.t(), Wasmex.Instance.t()) :: {:ok, t()} | {:error, String.t()}
  def from_instance(store_or_caller, %{resource: instance}) do
    via = StoreOrCaller.via(store_or_caller)
    find = fn -> Native.instance_memory(instance, via) end

    case Access.run(find, fn -> Native.instance_store(instance) end) do
      {:ok, nil} -> {:error, "The WebAssembly module has no exported memory."}
      {:ok, resource} -> {:ok, __wrap_resource__(resource)}
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  @doc "The size in bytes."
  @spec size(StoreOrCaller.t(), t()) :: non_neg_integer()
  def size(store_or_caller, %__MODULE__{} = memory),
    do: bang(size_via(memory, StoreOrCaller.via(store_or_caller)))

  @doc "The size in bytes, as `{:ok, bytes}`."
  @spec size(t()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def size(%__MODULE__{} = memory), do: size_via(memory, nil)

  defp size_via(memory, via),
    do: Access.memory(memory, fn -> Native.memory_size(resource!(memory), via) end)

  @doc "Grows the memory by a number of 64 KiB pages. Returns the previous size in pages."
  @spec grow(StoreOrCaller.t(), t(), non_neg_integer()) ::
          non_neg_integer() | {:error, String.t()}
  def grow(store_or_caller, %__MODULE__{} = memory, pages) when is_address(pages) do
    via = StoreOrCaller.via(store_or_caller)

    case Access.memory(memory, fn -> Native.memory_grow(resource!(memory), pages, via) end) do
      {:ok, before} -> before
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  @doc "The byte at an index."
  @spec get_byte(StoreOrCaller.t(), t(), address()) :: byte() | {:error, String.t()}
  def get_byte(store_or_caller, memory, index) do
    case read_binary(store_or_caller, memory, index, 1) do
      <<byte>> -> byte
      error -> error
    end
  end

  @doc "Sets the byte at an index. A value above 255 is taken modulo 256."
  @spec set_byte(StoreOrCaller.t(), t(), address(), non_neg_integer()) ::
          :ok | {:error, String.t()}
  def set_byte(store_or_caller, memory, index, value)
      when is_integer(value) and value >= 0 and value <= 0xFFFF_FFFF,
      do: write_binary(store_or_caller, memory, index, <<value>>)

  def set_byte(_store_or_caller, _memory, _index, value),
    do: Wasmex.Options.misuse!("a non-negative integer as byte", value)

  @doc "Bytes as a binary."
  @spec read_binary(StoreOrCaller.t(), t(), address(), non_neg_integer()) ::
          binary() | {:error, String.t()}
  def read_binary(store_or_caller, %__MODULE__{} = memory, index, length) do
    case read_via(memory, address!(index), address!(length), StoreOrCaller.via(store_or_caller)) do
      {:ok, binary} -> binary
      {:error, error} -> {:error, Compat.text(error)}
    end
  end

  @doc "Like `read_binary/4`. The bytes are not checked to be UTF-8."
  @spec read_string(StoreOrCaller.t(), t(), address(), non_neg_integer()) ::
          String.t() | {:error, String.t()}
  def read_string(store_or_caller, memory, index, length),
    do: read_binary(store_or_caller, memory, index, length)

  @doc "Writes a binary. No NUL byte is added."
  @spec write_binary(StoreOrCaller.t(), t(), address(), binary()) :: :ok | {:error, String.t()}
  def write_binary(store_or_caller, %__MODULE__{} = memory, index, binary)
      when is_binary(binary) do
    memory
    |> write_via(address!(index), binary, StoreOrCaller.via(store_or_caller))
    |> Compat.result()
  end

  @doc "Reads bytes, through a store or the `caller` of an import."
  @spec read(StoreOrCaller.t(), t(), address(), non_neg_integer()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def read(store_or_caller, %__MODULE__{} = memory, offset, length),
    do: read_via(memory, address!(offset), address!(length), StoreOrCaller.via(store_or_caller))

  @doc "Reads bytes."
  @spec read(t(), address(), non_neg_integer()) :: {:ok, binary()} | {:error, Exception.t()}
  def read(%__MODULE__{} = memory, offset, length),
    do: read_via(memory, address!(offset), address!(length), nil)

  @doc "Writes iodata, through a store or the `caller` of an import."
  @spec write(StoreOrCaller.t(), t(), address(), iodata()) :: :ok | {:error, Exception.t()}
  def write(store_or_caller, %__MODULE__{} = memory, offset, iodata) do
    via = StoreOrCaller.via(store_or_caller)
    write_via(memory, address!(offset), IO.iodata_to_binary(iodata), via)
  end

  @doc "Writes iodata."
  @spec write(t(), address(), iodata()) :: :ok | {:error, Exception.t()}
  def write(%__MODULE__{} = memory, offset, iodata),
    do: write_via(memory, address!(offset), IO.iodata_to_binary(iodata), nil)

  defp read_via(%{resource: resource} = memory, offset, length, via) do
    # The store is usually free, so try without setting up a wait first.
    with step when elem(step, 0) != :ok <-
           Native.memory_read(resource!(resource), offset, length, via),
         do:
           Access.memory(step, memory, fn -> Native.memory_read(resource, offset, length, via) end)
  end

  defp write_via(%{resource: resource} = memory, offset, binary, via)
       when byte_size(binary) <= @chunk do
    with step when elem(step, 0) != :ok <-
           Native.memory_write(resource!(resource), offset, binary, via),
         write = fn -> Native.memory_write(resource, offset, binary, via) end,
         {:error, _} = error <- Access.memory(step, memory, write) do
      error
    else
      {:ok, _} -> :ok
    end
  end

  defp write_via(memory, offset, binary, via) do
    with {:ok, _} <- read_via(memory, offset + byte_size(binary), 0, via) do
      <<chunk::binary-size(@chunk), rest::binary>> = binary

      with :ok <- write_via(memory, offset, chunk, via),
           do: write_via(memory, offset + @chunk, rest, via)
    end
  end

  @doc "Returns the bytes before the next NUL, searching at most `limit` bytes."
  @spec read_cstring(t(), address(), pos_integer()) :: {:ok, binary()} | {:error, Exception.t()}
  def read_cstring(%__MODULE__{} = memory, offset, limit \\ 1024 * 1024) do
    {offset, limit} = {address!(offset), address!(limit)}

    with {:ok, nil} <- cstring(memory, offset, limit, 0) do
      details = %{message: "no NUL within #{limit} bytes from #{offset}"}
      {:error, %Wasmex.Error{reason: :guest, details: details}}
    end
  end

  # Searches in pieces. `before` is the number of bytes already searched.
  defp cstring(memory, offset, limit, before) do
    piece = min(limit - before, @chunk)
    look = fn -> Native.memory_read_cstring(resource!(memory), offset + before, piece, nil) end

    case Access.memory(memory, look) do
      {:ok, nil} when before + piece < limit ->
        cstring(memory, offset, limit, before + piece)

      {:ok, bytes} when bytes != nil and before > 0 ->
        read(memory, offset, before + byte_size(bytes))

      {:error, %Wasmex.Error{reason: :out_of_bounds}} when before > 0 ->
        {:ok, nil}

      found_or_not ->
        found_or_not
    end
  end

  for {name, size, spec, type} <- [
        {:u8, 1, quote(do: unsigned - integer), :integer},
        {:s8, 1, quote(do: signed - integer), :integer},
        {:u16, 2, quote(do: unsigned - integer), :integer},
        {:s16, 2, quote(do: signed - integer), :integer},
        {:u32, 4, quote(do: unsigned - integer), :integer},
        {:s32, 4, quote(do: signed - integer), :integer},
        {:u64, 8, quote(do: unsigned - integer), :integer},
        {:s64, 8, quote(do: signed - integer), :integer},
        {:f32, 4, quote(do: float), :float},
        {:f64, 8, quote(do: float), :float}
      ] do
    @doc "Reads a little-endian #{name}."
    @spec unquote(:"read_#{name}")(t(), address()) ::
            {:ok, unquote(Macro.var(type, nil))} | {:error, Exception.t()}
    def unquote(:"read_#{name}")(%__MODULE__{} = memory, offset) do
      with {:ok, bytes} <- read(memory, offset, unquote(size)) do
        case bytes do
          <<value::unquote(spec)-little-size(unquote(size * 8))>> -> {:ok, value}
          # NaN or an infinity, which Erlang floats cannot represent.
          bytes -> {:ok, Wasmex.Memory.special(bytes)}
        end
      end
    end

    @doc "Writes a little-endian #{name}. Raises `ArgumentError` if the value is out of range."
    @spec unquote(:"write_#{name}")(t(), address(), number()) :: :ok | {:error, Exception.t()}
    def unquote(:"write_#{name}")(%__MODULE__{} = memory, offset, value) do
      bytes = <<value::unquote(spec)-little-size(unquote(size * 8))>>

      case bytes do
        <<back::unquote(spec)-little-size(unquote(size * 8))>>
        when unquote(type) == :float or back == value ->
          write(memory, offset, bytes)

        _ ->
          raise ArgumentError, "#{inspect(value)} is out of range for #{unquote(name)}"
      end
    end
  end

  @doc false
  # Tells NaN and the infinities apart by sign and fraction (IEEE 754, section 3.4).
  @spec special(binary()) :: :nan | :infinity | :neg_infinity
  def special(<<bits::little-32>>),
    do: special(Bitwise.band(bits, 0x7FFFFF), Bitwise.bsr(bits, 31))

  def special(<<bits::little-64>>),
    do: special(Bitwise.band(bits, 0xFFFFFFFFFFFFF), Bitwise.bsr(bits, 63))

  defp special(0, 0), do: :infinity
  defp special(0, 1), do: :neg_infinity
  defp special(_fraction, _sign), do: :nan

  defp bang({:ok, value}), do: value
  defp bang({:error, error}), do: raise(error)

  defp address!(value) when is_address(value), do: value

  defp address!(other),
    do: Wasmex.Options.misuse!("a non-negative integer as address", other)

  defp resource!(%{resource: resource}), do: resource!(resource)
  defp resource!(resource) when is_reference(resource), do: resource

  defp resource!(other),
    do:
      raise(
        ArgumentError,
        "this memory handle is empty (#{inspect(other)}): the module has no memory"
      )

  @doc false
  @spec __wrap_resource__(reference()) :: t()
  def __wrap_resource__(resource), do: %__MODULE__{resource: resource, reference: make_ref()}
end
