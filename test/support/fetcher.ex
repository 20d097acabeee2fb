defmodule Wasmex.Fetcher do
  @moduledoc "The component `component_fetch`: a guest that sends what it is told to."

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{Instance, Store}
  alias Wasmex.Wasi.WasiP2Options

  @doc "An instance whose store has these options of `WasiP2Options`, besides `allowed_hosts: [\"127.0.0.1\"]`."
  def instance(options \\ []) do
    options = Keyword.put_new(options, :allowed_hosts, ["127.0.0.1"])
    {:ok, store} = Store.new_wasi(struct!(WasiP2Options.nothing(), options))
    {:ok, instance} = Instance.instantiate(store, Guests.component("fetch"), %{})
    instance
  end

  @doc "What a request to a port of this machine, or to an authority, came to: `{:ok, response}` or `{:error, code}`."
  def fetch(instance, to, fields \\ []) do
    {:ok, result} = Instance.call(instance, "fetch", [request(to, fields)])
    result
  end

  @doc "The record of a request; the fields are those of `wit/world.wit`."
  def request(to, fields \\ []) do
    authority = if is_integer(to), do: "127.0.0.1:#{to}", else: to

    %{
      method: "GET",
      scheme: "http",
      authority: authority,
      path: "/",
      headers: [],
      body: :none,
      times: 1,
      ending: :finish,
      trailers: [],
      connect_timeout: :none,
      first_byte_timeout: :none,
      between_bytes_timeout: :none,
      keep: 1_000_000,
      stop: :none
    }
    |> Map.merge(Map.new(fields))
  end
end
