defmodule Wasmex.Options.Type.Dial do
  @moduledoc false
  # What a guest may connect to: a place as in `Wasmex.Options.Type.Place`; `"tls://db.example.com:5432"`, where the host
  # encrypts; or `{address, function_or_pid}`, which Elixir answers. The native side (`wasi/places.rs`) reads `{:tls, rule}` and
  # `{:answer, rule, process}` besides.

  use Wasmex.Options.Type

  alias Wasmex.Native
  alias Wasmex.Options.Type.{Address, Place}
  alias Wasmex.Socket.Dialer

  @impl true
  def cast("tls://" <> address = text) do
    with {:ok, _} <- Address.cast(address), do: {:ok, text}
  end

  def cast({address, answerer} = pair) when is_function(answerer, 1) or is_pid(answerer) do
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

  def native({address, answerer}) do
    dialer = Dialer.start(answerer, self())
    {:answer, address |> without_scheme() |> Address.native(), Native.socket_answer(dialer)}
  end

  def native(text), do: Place.native(text)

  @impl true
  def repeats?, do: true
end
