defmodule Wasmex.HTTP do
  @moduledoc """
  Handles HTTP requests with WASI programs and components. Each request runs in a new instance.

  This module works without a socket: `load/2` loads a function, and `call/2` calls it with a
  `Wasmex.HTTP.Request`. `Wasmex.HTTP.Server` serves a folder of functions, `Wasmex.Plug` serves it in a Plug
  pipeline, and `mix wasmex.serve` from the shell.

  ## Conventions

  - `:env`: the environment variables `http_path`, `http_method`, `http_host`, `http_query` (sorted, URL-encoded) and
    `remote_addr`. Standard output is the response body, and the status is 200. The functions `env.log_i32` and
    `env.log_string(pointer, length)` log to Logger.
  - `:cgi`: CGI/1.1 (RFC 3875), like WAGI: `REQUEST_METHOD`, `PATH_INFO`, `QUERY_STRING`, `HTTP_…`; the body on
    standard input. The response starts with a header block, with `Status:` if it is not 200.

  - `:component`: a component that exports `wasi:http/incoming-handler@0.2`.
  - `:resident`: a program that is an HTTP server itself, such as one with Go's `net/http`. It is started once, accepts
    connections on file descriptor 3 (in Go `net.FileListener(os.NewFile(3, ""))`), and handles concurrent requests in
    one instance. It speaks HTTP/1.1 and gets the path without its name, with `X-Forwarded-Prefix` and the other
    `X-Forwarded-…` fields. It is restarted when it ends. Only `Wasmex.HTTP.Server` and `Wasmex.Plug` keep one running,
    and only if `convention: :resident` is set. `:timeout` is per request; the server itself may run forever.

  The others are detected from the program, unless `convention:` is set.

  ## Settings

  #{Wasmex.Options.Docs.table(Wasmex.HTTP.Function.__options__())}

  `:allowed_hosts` requires a component.

  ## Instances

  Each request gets a new instance, which is freed afterwards, so requests share no memory. For components that are slow to
  start, such as those with an interpreter, `reuse: n` keeps up to `n` instances that have responded without an error, for up
  to a minute, in a `Wasmex.Pool` that ends with the process that called `load/2`, or with the server. A request that finds all of them
  in use gets a new instance. A later request sees the state and the memory of earlier ones. An idle instance occupies a place in the
  engine's pool of 1,000 core instances; a component may consist of several. Commands are never reused, because they end
  with their request.

  ## Errors

  A trap and a non-zero exit status become 500, invalid output 502. The response struct contains the exception; the body
  does not reveal it.

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

  alias Wasmex.HTTP.{Exchange, Function, Request, Response, Reuse}
  alias Wasmex.Options

  @name [type: {:or, [nil], :string}, doc: "its name in logs"]
  @options Options.table([name: @name] ++ Options.HTTP.function(), "Wasmex.HTTP.load/2")

  @typedoc "A loaded function: its code and settings."
  @type loaded :: %Function{}

  @doc """
  Loads a function from a path, wasm bytes or WAT. Options: `:name`, and the settings above.
  """
  @spec load(Path.t() | binary(), keyword()) :: {:ok, loaded()} | {:error, Exception.t()}
  def load(path_or_bytes, opts \\ []) when is_binary(path_or_bytes) do
    {name, settings} = opts |> Options.explicit!(@options) |> Map.pop(:name)

    with {:ok, bytes, default} <- bytes(path_or_bytes),
         {:ok, function} <- Function.load(name || default, bytes, settings),
         do: {:ok, Reuse.start(function, self())}
  end

  defp bytes(<<0, "asm", _::binary>> = wasm), do: {:ok, wasm, "function"}

  defp bytes(text_or_path) do
    if String.match?(text_or_path, ~r/\A\s*(\(|;;)/),
      do: {:ok, text_or_path, "function"},
      else: file(text_or_path)
  end

  defp file(path) do
    case Wasmex.Bytes.read(path) do
      {:ok, bytes} ->
        {:ok, bytes, path |> Path.basename() |> Path.rootname()}

      {:error, posix} ->
        message =
          "cannot read the function #{Wasmex.Printable.line(path)}: #{Wasmex.Bytes.format_error(posix)}"

        {:error, %Wasmex.Error{reason: :file, details: %{path: path, message: message}}}
    end
  end

  @doc "Handles a request in this process. Always returns a response; failures are in its field `:error`."
  @spec call(loaded(), Request.t()) :: Response.t()
  def call(%Function{convention: :resident, resident: nil}, _request) do
    raise ArgumentError,
          "convention: :resident needs a server that keeps running: Wasmex.HTTP.Server or Wasmex.Plug"
  end

  def call(%Function{} = function, %Request{} = request) do
    case refuse(function, request) do
      nil ->
        {response, chunks} = Exchange.run(function, request, &Response.gather/2, [])
        Response.gathered(response, chunks)

      response ->
        response
    end
  end

  @doc false
  # The response if the function does not accept the request; nil otherwise.
  @spec refuse(loaded(), Request.t()) :: Response.t() | nil
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
end
