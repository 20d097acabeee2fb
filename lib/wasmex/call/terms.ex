defmodule Wasmex.Call.Terms do
  @moduledoc false
  # Elixir terms as arguments and results of core functions: `{:bytes, iodata}`, `{:string, string}` and `{:json, term}`
  # are copied into memory from the guest's allocator, and `returns:` reads the bytes that a pointer and a length refer
  # to. The native side does all of that in one call (see native/wasmex/src/core/bytes/mod.rs); here terms become bytes,
  # and bytes terms.

  alias Wasmex.{Error, JSON, Memory, Native, Options}
  alias Wasmex.Call.Access

  @enforce_keys [:params]
  defstruct params: [],
            returns: nil,
            allocator: nil,
            deallocator: nil,
            memory: nil,
            floats: :values,
            free_result: false

  @type t :: %__MODULE__{
          params: [term()],
          returns: nil | :bytes | :string | :json,
          allocator: String.t() | nil,
          deallocator: String.t() | nil,
          memory: String.t() | nil,
          floats: :values | :bits,
          free_result: boolean()
        }

  @read Options.table(
          [memory: [type: {:or, [nil], :name}, doc: "the exported memory, by default the first"]],
          "Wasmex.Instance.read_bytes/3"
        )

  defguardp is_term(param)
            when is_tuple(param) and tuple_size(param) == 2 and
                   elem(param, 0) in [:bytes, :string, :json]

  @doc "Whether any argument is a term."
  @spec any?([term()]) :: boolean()
  def any?([param | _]) when is_term(param), do: true
  def any?([_ | params]), do: any?(params)
  def any?(_end), do: false

  @doc "The call with these options of `Wasmex.Options.Call.core/0`; nil for a call with numbers only."
  @spec new([term()], map()) :: t() | nil
  def new(params, %{returns: returns} = opts) do
    if returns != nil or any?(params) do
      params = params |> Enum.with_index(1) |> Enum.map(&encode/1)

      fields =
        Map.take(opts, [:returns, :allocator, :deallocator, :memory, :floats, :free_result])

      Map.merge(%__MODULE__{params: params}, fields)
    end
  end

  defp encode({{:bytes, bytes}, position}), do: {:bytes, binary!(bytes, position)}

  defp encode({{:string, text}, position}) do
    if is_binary(text) and String.valid?(text),
      do: {:bytes, text},
      else: Options.misuse!("a string of UTF-8 as argument ##{position} ({:string, _})", text)
  end

  defp encode({{:json, term}, _position}), do: {:bytes, IO.iodata_to_binary(JSON.encode(term))}
  defp encode({other, _position}), do: other

  defp binary!(bytes, position) do
    IO.iodata_to_binary(bytes)
  rescue
    ArgumentError -> Options.misuse!("iodata as argument ##{position} ({:bytes, _})", bytes)
  end

  @doc "The bytes of a term."
  @spec bytes!({:bytes | :string | :json, term()}) :: binary()
  def bytes!(term), do: {term, 1} |> encode() |> elem(1)

  @doc "The function that starts the call and returns its first step."
  @spec begin(reference(), String.t(), t(), non_neg_integer() | nil) :: (() -> term())
  def begin(instance, name, %__MODULE__{params: params} = terms, fuel) do
    # Text may be NUL-terminated instead of having a length.
    returns = if terms.returns == :json, do: :string, else: terms.returns || :values
    bits? = terms.floats == :bits

    settings =
      {terms.allocator, terms.deallocator, terms.memory, bits?, returns, terms.free_result}

    fn -> Native.instance_call_bytes(instance, name, params, settings, fuel, nil) end
  end

  @doc "The result as requested by `returns:`."
  @spec result({:ok, [term()]} | {:error, error}, t()) ::
          {:ok, term()} | {:error, error | Error.t()}
        when error: term()
  def result({:ok, results}, %__MODULE__{returns: nil}), do: {:ok, results}
  def result({:ok, [bytes]}, %__MODULE__{returns: returns}), do: decode(bytes, returns)
  def result(error, _terms), do: error

  @doc "Converts bytes as requested."
  @spec decode(binary(), :bytes | :string | :json) :: {:ok, term()} | {:error, Error.t()}
  def decode(bytes, :bytes), do: {:ok, bytes}
  def decode(bytes, :json), do: JSON.decode(bytes)

  def decode(bytes, :string) do
    if String.valid?(bytes) do
      {:ok, bytes}
    else
      message =
        "the guest returned no string: the bytes are not valid UTF-8 (returns: :bytes takes any)"

      {:error, %Error{reason: :guest, details: %{message: message}}}
    end
  end

  @doc "The bytes at a pointer and a length returned by a function."
  @spec read(Wasmex.Instance.t(), {integer(), integer()} | integer(), keyword()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def read(instance, packed, opts) when is_integer(packed) do
    <<pointer::32, length::32>> = <<packed::64>>
    read(instance, {pointer, length}, opts)
  end

  def read(instance, {pointer, length}, opts) when is_integer(pointer) and is_integer(length) do
    %{memory: memory} = Options.new!(opts, @read)

    with {:ok, memory} <- memory(instance, memory),
         do: Memory.read(memory, unsigned(pointer), unsigned(length))
  end

  def read(_instance, other, _opts) do
    Options.misuse!("{pointer, length} or one i64 with both, as returned by a guest", other)
  end

  # 32-bit addresses are returned signed.
  defp unsigned(value) when value < 0, do: value + 0x1_0000_0000
  defp unsigned(value), do: value

  defp memory(%{resource: resource}, nil) do
    find = fn -> Native.instance_memory(resource, nil) end

    with {:ok, nil} <- Access.run(find, fn -> Native.instance_store(resource) end) do
      details = %{kind: :memory, name: "memory", names: []}
      {:error, %Error{reason: :unknown_export, details: details}}
    else
      {:ok, memory} -> {:ok, Memory.__wrap_resource__(memory)}
      error -> error
    end
  end

  defp memory(instance, name), do: Wasmex.Instance.export(instance, :memory, name)
end
