defmodule Wasmex.Options.Type.Dial do
  @moduledoc false
  # An address that a guest may connect to: a place as in `Wasmex.Options.Type.Place`; `"tls://db.example.com:5432"`, to
  # which the host adds TLS; or `{address, function_or_pid}`, handled by Elixir. The native side (`wasi/places.rs`) also
  # reads `{:tls, rule}` and `{:answer, rule, process}`.

  use Wasmex.Options.Type

  alias Wasmex.Native
  alias Wasmex.Options.Type.{Address, Place}
  alias Wasmex.Socket.Dialer

  @impl true
  def cast("tls://" <> address = text) do
    with {:ok, _} <- Address.cast(address), do: {:ok, text}
  end

  def cast({address, handler} = pair) when is_function(handler, 1) or is_pid(handler) do
    with {:ok, _} <- address |> without_scheme() |> Address.cast(), do: {:ok, pair}
  end

  def cast(text) when is_binary(text), do: Place.cast(text)
  def cast(other), do: {:error, "", expected(), other}

  defp without_scheme("tcp://" <> address), do: address
  defp without_scheme(address), do: address

  @impl true
  def expected do
    ~s|a place such as "10.0.0.5:5432", "udp://10.0.0.0/8", "unix:///run/app.sock" or "tls://db.example.com:5432", | <>
      "or {address, function of one argument or pid}"
  end

  @impl true
  def spec,
    do: quote(do: String.t() | {String.t(), (Wasmex.Socket.t() -> term()) | pid()})

  @impl true
  def example, do: ~s|"10.0.0.5:5432"|

  @impl true
  def native("tls://" <> address), do: {:tls, Address.native(address)}

  def native({address, handler}) do
    dialer = Dialer.start(handler, self())
    {:answer, address |> without_scheme() |> Address.native(), Native.socket_answer(dialer)}
  end

  def native(text), do: Place.native(text)

  @impl true
  def repeats?, do: true
end
