defmodule Wasmex.Options.Type.Listen do
  @moduledoc false
  # A listener for the guest: `"tcp://127.0.0.1:8080"` and `"unix:///run/app.sock"` are opened by the host, `{:pipe,
  # name}` is in memory, a `Wasmex.Socket.Listener` is already open. An address without a scheme is one where the guest
  # may bind and listen itself. The native side is `wasi/places.rs`.

  use Wasmex.Options.Type

  alias Wasmex.Options.Type.Place
  alias Wasmex.Socket.{Listener, Names}

  @impl true
  def cast("tcp://" <> address = text) do
    case tcp(address) do
      {:ok, _, _} -> {:ok, text}
      :error -> {:error, "", ~s|an address and a port such as "tcp://127.0.0.1:8080"|, text}
    end
  end

  def cast("unix://" <> _ = text), do: Place.cast(text)
  def cast({:pipe, _name} = pipe), do: {:ok, pipe}

  def cast(%Listener{resource: resource} = listener) when is_reference(resource) do
    Wasmex.Options.here!(resource, "listener")
    {:ok, listener}
  end

  def cast(text) when is_binary(text), do: Place.cast(text)
  def cast(other), do: {:error, "", expected(), other}

  # No names except for this machine's: they could have several addresses.
  defp tcp(text) do
    with [_, host, port] <- Regex.run(~r/\A(\[[^\]]+\]|[^:]+):(\d{1,5})\z/, text),
         {port, ""} when port <= 65_535 <- Integer.parse(port),
         {:ok, ip} <- host |> String.trim_leading("[") |> String.trim_trailing("]") |> ip() do
      {:ok, ip |> :inet.ntoa() |> to_string(), port}
    else
      _ -> :error
    end
  end

  defp ip("localhost"), do: {:ok, {127, 0, 0, 1}}

  defp ip(text) do
    if String.valid?(text),
      do: text |> String.to_charlist() |> :inet.parse_strict_address(),
      else: :error
  end

  @doc "Whether the guest gets a listener, rather than the permission to open one."
  @spec opens?(term()) :: boolean()
  def opens?("tcp://" <> _), do: true
  def opens?("unix://" <> _), do: true
  def opens?(text), do: not is_binary(text)

  @impl true
  def expected,
    do:
      ~s|a listener such as "tcp://127.0.0.1:8080", "unix:///run/app.sock", {:pipe, name} or a %Wasmex.Socket.Listener{}|

  @impl true
  def spec, do: quote(do: String.t() | {:pipe, term()} | Wasmex.Socket.Listener.t())

  @impl true
  def example, do: ~s|"tcp://127.0.0.1:8080"|

  @impl true
  def native("tcp://" <> address) do
    {:ok, ip, port} = tcp(address)
    {:listen, :tcp, ip, port}
  end

  def native("unix://" <> path), do: {:listen, :unix, path}
  def native({:pipe, name}), do: {:handle, Names.register(name)}
  def native(%Listener{resource: resource}), do: {:handle, resource}
  def native(address), do: {:bind, Place.native(address)}

  @impl true
  def repeats?, do: true
end
