defmodule Wasmex.Plugin.Context do
  @moduledoc """
  The first argument of host functions.

  - `plugin`: the calling `Wasmex.Plugin`
  - `context`: the option `context:` of `Wasmex.Plugin.call/4`, or nil

  These functions access the memory of the plug-in. They can only be called while the host function runs, in its process.
  Offsets are those of blocks; parameters declared as `:bytes`, `:string` or `:json` do not need them.
  """

  alias Wasmex.{Error, Native, StoreOrCaller}
  alias Wasmex.Call.Access

  @enforce_keys [:plugin, :context, :caller]
  defstruct [:plugin, :context, :caller]

  @type t :: %__MODULE__{
          plugin: Wasmex.Plugin.t() | nil,
          context: term(),
          caller: StoreOrCaller.t()
        }

  # Large blocks are copied in pieces, so that they do not block a scheduler.
  @piece 1024 * 1024

  @doc "The bytes of the block at this offset, or nil."
  @spec read(t(), non_neg_integer()) :: {:ok, binary() | nil} | {:error, Error.t()}
  def read(%__MODULE__{} = context, offset) when is_integer(offset) and offset >= 0 do
    case read_piece(context, offset, 0) do
      {:ok, {length, bytes}} when byte_size(bytes) == length -> {:ok, bytes}
      {:ok, {_length, bytes}} -> read_rest(context, offset, byte_size(bytes), [bytes])
      nil_or_error -> nil_or_error
    end
  end

  defp read_rest(context, offset, from, pieces) do
    case read_piece(context, offset, from) do
      {:ok, {_length, ""}} -> {:ok, IO.iodata_to_binary(pieces)}
      {:ok, {_length, more}} -> read_rest(context, offset, from + byte_size(more), [pieces, more])
      nil_or_error -> nil_or_error
    end
  end

  defp read_piece(context, offset, from),
    do: access(context, &Native.plugin_block_read(&1, offset, from, &2))

  @doc "Allocates a block with these bytes and returns its offset, or 0 for no bytes. The plug-in must free it."
  @spec alloc(t(), binary()) :: {:ok, non_neg_integer()} | {:error, Exception.t()}
  def alloc(%__MODULE__{} = context, bytes) when is_binary(bytes) do
    {first, rest} = next_piece(bytes)

    with {:ok, block} <-
           access(context, &Native.plugin_block_new(&1, byte_size(bytes), first, &2)),
         :ok <- write(context, block + @piece, rest),
         do: {:ok, block}
  end

  defp write(_context, _offset, ""), do: :ok

  defp write(context, offset, bytes) do
    {piece, rest} = next_piece(bytes)

    with {:ok, :ok} <- access(context, &Native.plugin_block_write(&1, offset, piece, &2)),
         do: write(context, offset + @piece, rest)
  end

  defp next_piece(<<piece::binary-size(@piece), rest::binary>>), do: {piece, rest}
  defp next_piece(bytes), do: {bytes, ""}

  @doc "Frees the block at this offset, if there is one."
  @spec free(t(), non_neg_integer()) :: :ok | {:error, Exception.t()}
  def free(%__MODULE__{} = context, offset) when is_integer(offset) and offset >= 0,
    do: done(access(context, &Native.plugin_block_free(&1, offset, &2)))

  @doc "All variables of the plug-in."
  @spec vars(t()) :: {:ok, %{String.t() => binary()}} | {:error, Exception.t()}
  def vars(%__MODULE__{} = context), do: access(context, &Native.plugin_vars/2)

  @doc "Sets a variable of the plug-in, or deletes it with nil. The limit `max_var_bytes` applies."
  @spec put_var(t(), String.t(), binary() | nil) :: :ok | {:error, Exception.t()}
  def put_var(%__MODULE__{} = context, key, value) when is_binary(key),
    do: done(access(context, &Native.plugin_put_var(&1, key, value, &2)))

  @doc "Sets the error of the call. The plug-in may clear it."
  @spec set_error(t(), binary()) :: :ok | {:error, Exception.t()}
  def set_error(%__MODULE__{} = context, text) when is_binary(text) do
    with {:ok, block} <- alloc(context, text),
         do: done(access(context, &Native.plugin_set_error(&1, block, &2)))
  end

  defp access(%{caller: caller}, operation) do
    {store, via} = StoreOrCaller.split(caller)
    Access.run(fn -> operation.(store, via) end, fn -> store end)
  end

  defp done({:ok, :ok}), do: :ok
  defp done(error), do: error
end
