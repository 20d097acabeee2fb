defmodule Wasmex.HTTP.Env do
  @moduledoc false
  # The convention `:env`: the request is in five environment variables, and standard output is the body. The guest may
  # import two functions for logging.

  @behaviour Wasmex.HTTP.Convention

  alias Wasmex.HTTP.{GuestLog, Request}

  @impl true
  def imports(name) do
    %{
      "env" => %{
        "log_i32" => {:fn, [:i32], [], fn _context, n -> GuestLog.put(name, unsigned(n)) end},
        "log_string" => {:fn, [:i32, :i32], [], &log_string(name, &1, &2, &3)}
      }
    }
  end

  defp unsigned(n) when n < 0, do: Integer.to_string(n + 0x1_0000_0000)
  defp unsigned(n), do: Integer.to_string(n)

  # An invalid pointer or length ends the guest, like any access out of bounds.
  defp log_string(name, context, pointer, length) do
    <<pointer::32, length::32>> = <<pointer::32, length::32>>

    case Wasmex.Memory.read(context.caller, context.memory, pointer, length) do
      {:ok, bytes} -> GuestLog.put(name, bytes)
      {:error, error} -> raise error
    end
  end

  @impl true
  def input(%Request{} = request) do
    {[],
     %{
       "http_path" => request.script_name <> if(request.path == "/", do: "", else: request.path),
       "http_method" => request.method,
       "http_host" => Request.header(request, "host") || request.host,
       "http_query" => sorted(request.query),
       "remote_addr" => request.remote_addr
     }}
  end

  # Sorted by name and encoded again, so that equal queries have the same form.
  defp sorted(""), do: ""

  defp sorted(query) do
    query
    |> String.split("&", trim: true)
    |> Enum.map(fn pair ->
      case String.split(pair, "=", parts: 2) do
        [key, value] -> {decode(key), decode(value)}
        [key] -> {decode(key), ""}
      end
    end)
    |> Enum.sort_by(&elem(&1, 0))
    |> Enum.map_join("&", fn {key, value} -> encode(key) <> "=" <> encode(value) end)
  end

  defp encode(text), do: if(unreserved?(text), do: text, else: URI.encode_www_form(text))

  # Invalid encodings are kept unchanged.
  defp decode(text) do
    if unreserved?(text), do: text, else: URI.decode_www_form(text)
  rescue
    ArgumentError -> text
  end

  # As most names and values are. They are the same in both forms.
  defp unreserved?(<<byte, rest::binary>>)
       when byte in ?a..?z or byte in ?A..?Z or byte in ?0..?9 or byte in [?-, ?_, ?., ?~],
       do: unreserved?(rest)

  defp unreserved?(rest), do: rest == ""

  # The content type is detected later, from the body.
  @impl true
  def head(printed), do: {:head, 200, [], printed}
end
