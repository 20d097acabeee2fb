defmodule Wasmex.Components.KeyValue do
  @moduledoc """
  Key-value stores for components, `wasi:keyvalue@0.2.0-draft` (`store`, `atomics`, `batch`), backed by your own
  module or an ETS table.

      table = Wasmex.Components.KeyValue.ETS.new(["sessions"])
      Wasmex.Components.start_link(path: "guest.wasm", imports: Wasmex.Components.KeyValue.imports(table))

  A backend is `{module, term}`, where the module implements the callbacks below. A bucket is the term that
  `c:open/2` returns. The backend must limit how much a guest may store, as `Wasmex.Components.KeyValue.ETS`
  does. Errors are `{:error, :no_such_store | :access_denied | text}`.

  ## Example

      iex> backend = Wasmex.Components.KeyValue.ETS.new(["a"])
      iex> imports = Wasmex.Components.KeyValue.imports(backend)
      iex> %{"open" => {:fn, open}, "[method]bucket.set" => {:fn, set}, "[method]bucket.get" => {:fn, get}} = imports["wasi:keyvalue/store@0.2.0-draft"]
      iex> {:ok, bucket} = open.("a")
      iex> set.(bucket, "k", "v")
      :ok
      iex> get.(bucket, "k")
      {:ok, {:some, "v"}}
      iex> open.("b")
      {:error, "no-such-store"}

  Source: [wasi:keyvalue](https://github.com/WebAssembly/wasi-keyvalue).
  """

  @type bucket :: term()
  @type failure :: {:error, :no_such_store | :access_denied | String.t()}

  @callback open(backend :: term(), name :: String.t()) :: {:ok, bucket()} | failure()
  @callback get(bucket(), key :: String.t()) :: {:ok, binary() | nil} | failure()
  @callback set(bucket(), key :: String.t(), value :: binary()) :: :ok | failure()
  @callback delete(bucket(), key :: String.t()) :: :ok | failure()
  @doc "Returns keys from a cursor on, and the next cursor or nil."
  @callback keys(bucket(), cursor :: non_neg_integer() | nil) ::
              {:ok, [String.t()], non_neg_integer() | nil} | failure()
  @doc "Adds to the value, a number of 8 bytes (little-endian), and returns the sum."
  @callback increment(bucket(), key :: String.t(), delta :: non_neg_integer()) ::
              {:ok, non_neg_integer()} | failure()

  @version "@0.2.0-draft"

  @doc "Imports that use the backend."
  @spec imports({module(), term()}) :: map()
  def imports({module, term}) when is_atom(module) do
    %{
      ("wasi:keyvalue/store" <> @version) => %{
        "open" => {:fn, fn name -> module.open(term, name) |> failure() end},
        "bucket" => {:resource, nil},
        "[method]bucket.get" => {:fn, fn bucket, key -> get(module, bucket, key) end},
        "[method]bucket.set" =>
          {:fn, fn bucket, key, value -> set(module, bucket, key, value) end},
        "[method]bucket.delete" =>
          {:fn, fn bucket, key -> module.delete(bucket, key) |> failure() end},
        "[method]bucket.exists" => {:fn, fn bucket, key -> exists(module, bucket, key) end},
        "[method]bucket.list-keys" => {:fn, fn bucket, cursor -> keys(module, bucket, cursor) end}
      },
      ("wasi:keyvalue/atomics" <> @version) => %{
        "increment" =>
          {:fn, fn bucket, key, delta -> module.increment(bucket, key, delta) |> failure() end}
      },
      ("wasi:keyvalue/batch" <> @version) => %{
        "get-many" => {:fn, fn bucket, keys -> get_many(module, bucket, keys) end},
        "set-many" =>
          {:fn,
           fn bucket, pairs -> each(pairs, &set(module, bucket, elem(&1, 0), elem(&1, 1))) end},
        "delete-many" =>
          {:fn, fn bucket, keys -> each(keys, &failure(module.delete(bucket, &1))) end}
      }
    }
  end

  defp get(module, bucket, key) do
    case module.get(bucket, key) do
      {:ok, nil} -> {:ok, :none}
      {:ok, value} -> {:ok, {:some, value}}
      error -> failure(error)
    end
  end

  # With the API of Wasmex 0.15, bytes are passed as lists.
  defp set(module, bucket, key, value),
    do: bucket |> module.set(key, IO.iodata_to_binary(value)) |> failure()

  defp exists(module, bucket, key) do
    with {:ok, value} <- module.get(bucket, key) |> failure(), do: {:ok, value != nil}
  end

  defp keys(module, bucket, cursor) do
    cursor = if match?({:some, _}, cursor), do: elem(cursor, 1)

    with {:ok, keys, next} <- module.keys(bucket, cursor) |> failure() do
      {:ok, %{"keys" => keys, "cursor" => if(next, do: {:some, next}, else: :none)}}
    end
  end

  defp get_many(module, bucket, keys) do
    Enum.reduce_while(keys, {:ok, []}, fn key, {:ok, found} ->
      case get(module, bucket, key) do
        {:ok, :none} -> {:cont, {:ok, [:none | found]}}
        {:ok, {:some, value}} -> {:cont, {:ok, [{:some, {key, value}} | found]}}
        error -> {:halt, error}
      end
    end)
    |> then(fn result -> with {:ok, found} <- result, do: {:ok, Enum.reverse(found)} end)
  end

  defp each(list, fun) do
    Enum.reduce_while(list, :ok, fn item, :ok ->
      case fun.(item) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp failure({:error, :no_such_store}), do: {:error, "no-such-store"}
  defp failure({:error, :access_denied}), do: {:error, "access-denied"}
  defp failure({:error, text}) when is_binary(text), do: {:error, {"other", text}}
  defp failure(result), do: result
end
