# Plug is not among the dependencies. Where a project brings none along, this stands in for the part of
# `Plug.Conn` that `Wasmex.Plug` calls: answers go to the test, a body comes from a list of pieces.
unless Code.ensure_loaded?(Plug.Conn) do
  defmodule Plug.Conn do
    @moduledoc false
    defstruct adapter: nil,
              method: "GET",
              request_path: "/",
              script_name: [],
              path_info: [],
              query_string: "",
              req_headers: [],
              resp_headers: [],
              host: "localhost",
              port: 80,
              scheme: :http,
              remote_ip: {127, 0, 0, 1},
              status: nil,
              state: :unset,
              halted: false

    # `adapter` is `{pieces of the body, who is told}`.
    def read_body(%{adapter: {[], to}} = conn, _opts), do: {:ok, "", %{conn | adapter: {[], to}}}
    def read_body(%{adapter: {[{:error, reason} | _], _}}, _opts), do: {:error, reason}

    def read_body(%{adapter: {[last], to}} = conn, _opts),
      do: {:ok, last, %{conn | adapter: {[], to}}}

    def read_body(%{adapter: {[piece | rest], to}} = conn, _opts),
      do: {:more, piece, %{conn | adapter: {rest, to}}}

    def send_resp(%{adapter: {_, to}} = conn, status, body) do
      send(to, {:resp, status, conn.resp_headers, body})
      %{conn | status: status, state: :sent}
    end

    def send_chunked(%{adapter: {_, to}} = conn, status) do
      send(to, {:chunked, status, conn.resp_headers})
      %{conn | status: status, state: :chunked}
    end

    def chunk(%{adapter: {_, to}} = conn, bytes) do
      send(to, {:chunk, bytes})

      receive do
        :client_is_gone -> {:error, :closed}
      after
        0 -> {:ok, conn}
      end
    end
  end
end
