defmodule Wasmex.Call.Bytes do
  @moduledoc false
  # Binaries as arguments: copied into memory that the guest's own allocator gave, passed as pointer
  # and length, freed after the call.

  alias Wasmex.{Error, Instance, Memory, Native, Options}
  alias Wasmex.Call.{Access, Timeout}

  @allocators ["malloc", "cabi_realloc", "allocate", "alloc"]
  @deallocators ["free", "deallocate", "dealloc"]

  @read Options.table(
          [memory: [type: {:or, [nil], :name}, doc: "the exported memory, by default the first"]],
          "Wasmex.Instance.read_bytes/3"
        )

  @spec any?([term()]) :: boolean()
  def any?(params), do: Enum.any?(params, &match?({:bytes, _}, &1))

  @spec call(Instance.t(), String.t(), [term()], map()) ::
          {:ok, [term()]} | {:error, Exception.t()}
  def call(instance, name, params, opts) do
    deadline = Timeout.deadline(opts.timeout)

    with {:ok, allocator} <- allocator(instance, opts.allocator),
         {:ok, memory} <- memory(instance, nil),
         {:ok, params, allocated} <- copy(instance, memory, allocator, params, deadline) do
      result =
        Instance.call(instance, name, params,
          timeout: Timeout.left(deadline),
          fuel: opts.fuel,
          floats: opts.floats
        )

      deallocator = deallocator(instance, allocator, opts.deallocator)

      # A guest that failed may have left its heap in any state; freeing is still its own business.
      for block <- allocated, do: free(instance, deallocator, block, deadline)
      result
    end
  end

  @spec read(Instance.t(), {integer(), integer()} | integer(), keyword()) ::
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
    Options.misuse!("{pointer, length} or one i64 with both, as a guest returned it", other)
  end

  # 32-bit addresses come back signed.
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

  defp memory(instance, name), do: Instance.export(instance, :memory, name)

  defp allocator(instance, nil) do
    case Enum.find(@allocators, &exported?(instance, &1)) do
      nil ->
        details = %{
          message:
            "{:bytes, binary} needs an allocator exported by the guest: one of " <>
              "#{Enum.join(@allocators, ", ")}, or the one named by `allocator:`"
        }

        {:error, %Error{reason: :params, details: details}}

      name ->
        {:ok, name}
    end
  end

  defp allocator(_instance, name), do: {:ok, name}

  defp deallocator(_instance, _allocator, name) when name != nil, do: {:named, name}

  defp deallocator(_instance, "cabi_realloc", nil), do: :cabi_realloc

  defp deallocator(instance, _allocator, nil) do
    case Enum.find(@deallocators, &exported?(instance, &1)) do
      nil -> :none
      name -> {:named, name}
    end
  end

  defp exported?(instance, name),
    do: match?({:fn, _, _}, Native.instance_export_type(instance.resource, name))

  defp copy(instance, memory, allocator, params, deadline) do
    Enum.reduce_while(params, {:ok, [], []}, fn
      {:bytes, bytes}, {:ok, params, allocated} ->
        size = IO.iodata_length(bytes)

        with {:ok, pointer} <- allocate(instance, allocator, size, deadline),
             :ok <- Memory.write(memory, pointer, bytes) do
          {:cont, {:ok, [size, pointer | params], [{pointer, size} | allocated]}}
        else
          {:error, _} = error -> {:halt, error}
        end

      param, {:ok, params, allocated} ->
        {:cont, {:ok, [param | params], allocated}}
    end)
    |> case do
      {:ok, params, allocated} -> {:ok, Enum.reverse(params), allocated}
      error -> error
    end
  end

  defp allocate(instance, name, size, deadline) do
    # realloc(old_pointer, old_size, alignment, new_size) of the component model's canonical ABI.
    params = if name == "cabi_realloc", do: [0, 0, 1, size], else: [size]

    case Instance.call(instance, name, params, timeout: Timeout.left(deadline)) do
      {:ok, [pointer]} when is_integer(pointer) and (pointer != 0 or size == 0) ->
        {:ok, unsigned(pointer)}

      {:ok, results} ->
        details = %{
          message: "the guest's #{name}(#{size}) gave no memory: it returned #{inspect(results)}"
        }

        {:error, %Error{reason: :guest, details: details}}

      error ->
        error
    end
  end

  defp free(_instance, :none, _block, _deadline), do: :ok

  defp free(instance, :cabi_realloc, {pointer, size}, deadline),
    do:
      Instance.call(instance, "cabi_realloc", [pointer, size, 1, 0],
        timeout: Timeout.left(deadline)
      )

  defp free(instance, {:named, name}, {pointer, size}, deadline) do
    params =
      case Native.instance_export_type(instance.resource, name) do
        {:fn, [_, _], _} -> [pointer, size]
        _ -> [pointer]
      end

    Instance.call(instance, name, params, timeout: Timeout.left(deadline))
  end
end
