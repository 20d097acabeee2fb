# Plug-ins of six languages in one application: mix run examples/plugins.exs
#
# The two examples of the talk that this comes from are at the end: a plug-in that asks a function of the host, and
# one that fetches what the host configured, from hosts that the host allows.

alias Wasmex.Plugin

here = Path.join(__DIR__, "plugins")
show = fn what, result -> IO.puts("#{String.pad_trailing(what, 36)} #{inspect(result)}") end

new = fn file, opts ->
  {:ok, plugin} = Plugin.new(Path.join(here, file), opts)
  plugin
end

show.("WAT, echo", Plugin.call(new.("wat/echo.wat", []), "echo", "hello"))

shout = new.("c/shout.wasm", [])
show.("C, shout", Plugin.call(shout, "shout", "hello"))
show.("C, its error", Plugin.call(shout, "shout", ""))
show.("C, its variables", Plugin.vars(shout))
show.("Zig, a hash", Plugin.call(new.("zig/hash.wasm", []), "fnv", "hello"))

show.(
  "AssemblyScript, configured",
  Plugin.call(new.("assemblyscript/greet.wasm", config: %{greeting: "Salut"}), "greet", "Ada")
)

show.("Go with WASI", Plugin.call(new.("go/words.wasm", wasi: true), "sort_words", "c b a"))

# A host function.
store = %{"language" => "Elixir"}
kv_read = {:fn, [:string], [:bytes], fn _context, key -> Map.get(store, key) end}
functions = %{"extism:host/user" => %{"kv_read" => kv_read}}
vowels = new.("rust/vowels.wasm", functions: functions)
show.("Rust, JSON and variables", Plugin.call(vowels, "count_vowels", "Hello, world!"))
show.("Rust, a host function", Plugin.call(vowels, "lookup", "language"))
show.("Rust, nothing there", Plugin.call(vowels, "lookup", "weather"))

# HTTP to a configured route, on a server of ours.
{:ok, listener} =
  :gen_tcp.listen(0, [:binary, active: false, reuseaddr: true, ip: {127, 0, 0, 1}])

{:ok, port} = :inet.port(listener)

spawn_link(fn ->
  serve = fn serve ->
    {:ok, socket} = :gen_tcp.accept(listener)
    {:ok, _request} = :gen_tcp.recv(socket, 0)

    :gen_tcp.send(
      socket,
      "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\nfrom the server"
    )

    :gen_tcp.close(socket)
    serve.(serve)
  end

  serve.(serve)
end)

route = %{route: "http://127.0.0.1:#{port}/"}

fetch = fn opts ->
  Plugin.call(new.("rust/vowels.wasm", [functions: functions, config: route] ++ opts), "fetch")
end

show.("HTTP, allowed", fetch.(allowed_hosts: ["127.0.0.1"]))
{:error, refused} = fetch.([])
show.("HTTP, not allowed", Exception.message(refused))
