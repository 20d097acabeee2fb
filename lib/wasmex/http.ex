defmodule Wasmex.HTTP do
  @moduledoc """
  Programs that answer HTTP requests: a request becomes a fresh instance's environment and input, and what
  it prints becomes the response.

  This module is the pure part, without a socket: `load/2` a function, `call/2` it with a
  `Wasmex.HTTP.Request`. `Wasmex.HTTP.Server` serves a folder of functions, `Wasmex.Plug` does so inside
  a Plug pipeline, `mix wasmex.serve` from the shell.

  ## Conventions

  - `:env`: the environment variables `http_path`, `http_method`, `http_host`, `http_query` (sorted, URL-encoded) and
    `remote_addr`; standard output is the body, the status 200. The functions `env.log_i32` and
    `env.log_string(pointer, length)` go to Logger.
  - `:cgi`: CGI/1.1 (RFC 3875) as WAGI does it: `REQUEST_METHOD`, `PATH_INFO`, `QUERY_STRING`, `HTTP_…`; the body on
    standard input; a header block, with `Status:` if it is not 200, before the answer.

  - `:component`: a component that exports `wasi:http/incoming-handler@0.2` is asked through that.

  Which one a program follows is found out by looking at it, unless `convention:` says.

  ## Settings

  #{Wasmex.Options.Docs.table(Wasmex.HTTP.Function.__options__())}

  `:tcp`, `:udp`, `:lookup` and `:allowed_hosts` are for components.

  ## Instances

  Each request gets an instance of its own, which is gone with it: what one request leaves in memory no other sees.
  A component that is slow to start, such as one with an interpreter inside, may be used again with `reuse: n`: an
  instance that has answered without an error waits for the next request, up to `n` of them for a minute. Then
  whatever it remembers, and memory it has grown, is there in that request; and as long as it waits it takes its place in
  the engine's pool of 1,000 core instances, of which a component may have several. Commands end with their request and are
  never used again.

  ## Errors

  A trap and an exit status other than 0 are 500, output that is no answer is 502; the exception is in the
  response, and nothing of it in the body.

  ## Example

      iex> wat = ~S|(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
      ...>   (memory (export "memory") 1) (data (i32.const 8) "hello")
      ...>   (func (export "_start") (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 5))
      ...>     (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))|
      iex> {:ok, function} = Wasmex.HTTP.load(wat, name: "hello")
      iex> response = Wasmex.HTTP.call(function, Wasmex.HTTP.Request.new("GET", "/"))
      iex> {response.status, response.body}
      {200, "hello"}
  """

  alias Wasmex.HTTP.{Exchange, Function, Request, Response}
  alias Wasmex.Options

  @name [type: {:or, [nil], :string}, doc: "what it is called in logs"]
  @options Options.table([name: @name] ++ Options.HTTP.function(), "Wasmex.HTTP.load/2")

  @doc """
  Makes a function of a program: a path, wasm bytes or WAT. Options: `:name`, and the settings above.
  """
  @spec load(Path.t() | binary(), keyword()) :: {:ok, Function.t()} | {:error, Exception.t()}
  def load(path_or_bytes, opts \\ []) when is_binary(path_or_bytes) do
    {name, settings} = opts |> Options.given!(@options) |> Map.pop(:name)

    with {:ok, bytes, default} <- bytes(path_or_bytes),
         do: Function.load(name || default, bytes, settings)
  end

  defp bytes(<<0, "asm", _::binary>> = wasm), do: {:ok, wasm, "function"}

  defp bytes(text_or_path) do
    if String.match?(text_or_path, ~r/\A\s*(\(|;;)/),
      do: {:ok, text_or_path, "function"},
      else: file(text_or_path)
  end

  defp file(path) do
    case File.read(path) do
      {:ok, bytes} ->
        {:ok, bytes, path |> Path.basename() |> Path.rootname()}

      {:error, posix} ->
        message = "can't read the function #{path}: #{:file.format_error(posix)}"
        {:error, %Wasmex.Error{reason: :file, details: %{path: path, message: message}}}
    end
  end

  @doc "Runs the function for a request, in this process. Always a response; see its `:error`."
  @spec call(Function.t(), Request.t()) :: Response.t()
  def call(%Function{} = function, %Request{} = request) do
    case refuse(function, request) do
      nil ->
        {response, chunks} = Exchange.run(function, request, &gather/2, [])
        if chunks == [], do: response, else: whole(response, chunks)

      response ->
        response
    end
  end

  @doc false
  # What is answered without running anything.
  def refuse(function, request) do
    cond do
      function.methods != nil and request.method not in function.methods ->
        allow = Enum.join(function.methods, ", ")
        refused = Response.plain(405, "405 #{Response.reason(405)}")
        %{refused | headers: [{"allow", allow} | refused.headers]}

      is_binary(request.body) and byte_size(request.body) > function.max_body ->
        Response.plain(413, "413 #{Response.reason(413)}")

      true ->
        nil
    end
  end

  defp gather({:whole, _status, _headers, _body}, state), do: state
  defp gather({:head, status, headers}, _state), do: [{status, headers}]
  defp gather({:chunk, bytes}, state), do: [bytes | state]
  defp gather(:done, state), do: state
  # What was streamed is not an answer any more.
  defp gather(:broken, _state), do: []

  defp whole(response, chunks) do
    [{status, headers} | body] = Enum.reverse(chunks)
    %{response | status: status, headers: headers, body: IO.iodata_to_binary(body)}
  end
end
