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

    # `adapter` is `{pieces of the body, who is told}`, and `:chunked` behind these once the response has begun: as that of a
    # web server it is another one after each read and write.
    def read_body(%{adapter: adapter} = conn, _opts) do
      case elem(adapter, 0) do
        [] -> {:ok, "", conn}
        [{:error, reason} | _] -> {:error, reason}
        [last] -> {:ok, last, %{conn | adapter: put_elem(adapter, 0, [])}}
        [piece | rest] -> {:more, piece, %{conn | adapter: put_elem(adapter, 0, rest)}}
      end
    end

    def send_resp(%{adapter: {_, to}} = conn, status, body) do
      send(to, {:resp, status, conn.resp_headers, body})
      %{conn | status: status, state: :sent}
    end

    def send_chunked(%{adapter: {pieces, to}} = conn, status) do
      send(to, {:chunked, status, conn.resp_headers})
      %{conn | status: status, state: :chunked, adapter: {pieces, to, :chunked}}
    end

    def chunk(%{adapter: {_, to, :chunked}} = conn, bytes) do
      send(to, {:chunk, bytes})

      receive do
        :client_is_gone -> {:error, :closed}
      after
        0 -> {:ok, conn}
      end
    end
  end
end
