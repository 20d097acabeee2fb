# Prints `name, wasmex, µs` (or KiB) for each measurement; bench/plugins.py does the same on the reference host.
alias Wasmex.Plugin

rounds = if System.get_env("QUICK"), do: 3, else: 15

# Results are dropped immediately: a list would keep a hundred outputs of 1 MiB alive, and measure the VM's allocator.
best = fn count, fun ->
  for(_ <- 1..rounds, do: elem(:timer.tc(fn -> Enum.each(1..count, fn _ -> fun.() end) end), 0))
  |> Enum.min()
  |> Kernel./(count)
end

print = fn name, us -> IO.puts("#{name}\twasmex\t#{Float.round(us, 3)}") end

call = fn name, count, plugin, function, input ->
  print.(name, best.(count, fn -> {:ok, _} = Plugin.call(plugin, function, input) end))
end

kv = %{"extism:host/user" => %{"kv_read" => {:fn, [:string], [:bytes], fn _, _ -> "v" end}}}
{:ok, echo} = Plugin.compile("test/guests/plugins/echo.wasm")
{:ok, vowels} = Plugin.compile("examples/plugins/rust/vowels.wasm", functions: kv)
{:ok, c} = Plugin.compile("test/guests/plugins/c-kit.wasm")
{:ok, vars} = Plugin.compile("test/guests/plugins/vars.wasm")
new = fn compiled -> compiled |> Plugin.new() |> elem(1) end
[k, m] = for size <- [1024, 1024 * 1024], do: String.duplicate("abcdefgh", div(size, 8))

# Memory of plug-ins that were called; first, because later ones would use what earlier ones have left.

resident = fn ->
  [_, kib] = Regex.run(~r/VmRSS:\s+(\d+)/, File.read!("/proc/self/status"))
  String.to_integer(kib)
end

Process.sleep(500)
before = resident.()

plugins =
  for _ <- 1..1_000 do
    plugin = new.(echo)
    {:ok, _} = Plugin.call(plugin, "echo", "x")
    plugin
  end

print.("KiB of an instance, of 1,000", max(resident.() - before, 1) / length(plugins))

Enum.each(plugins, &Plugin.close/1)

plugin = new.(echo)
call.("empty call", 10_000, plugin, "silent", "")
call.("echo 16 B", 10_000, plugin, "echo", binary_part(k, 0, 16))
call.("echo 1 KiB", 10_000, plugin, "echo", k)
call.("echo 1 MiB", 100, plugin, "echo", m)
plugin = new.(vowels)
call.("count_vowels 1 KiB", 1_000, plugin, "count_vowels", k)
call.("count_vowels 1 MiB", 5, plugin, "count_vowels", m)
call.("host function", 5_000, plugin, "lookup", "key")
plugin = new.(c)
call.("shout bytewise 1 KiB", 1_000, plugin, "shout", k)
call.("shout bytewise 1 MiB", 5, plugin, "shout", m)
call.("var_get of a missing key", 10_000, new.(vars), "get", "")

for {name, compiled, function} <- [{"echo", echo, "silent"}, {"vowels", vowels, "count_vowels"}] do
  print.("new #{name}", best.(200, fn -> compiled |> new.() |> Plugin.close() end))

  print.(
    "new, first call #{name}",
    best.(200, fn ->
      plugin = new.(compiled)
      {:ok, _} = Plugin.call(plugin, function, "x")
      Plugin.close(plugin)
    end)
  )
end

# ---- with memories from a pool ----

{:ok, pool} = Wasmex.Engine.new(%Wasmex.EngineConfig{pooling: 200})
{:ok, pooled} = Plugin.compile("test/guests/plugins/echo.wasm", engine: pool)
print.("new echo, pooling", best.(200, fn -> pooled |> new.() |> Plugin.close() end))

print.(
  "new, first call echo, pooling",
  best.(200, fn ->
    plugin = new.(pooled)
    {:ok, _} = Plugin.call(plugin, "silent", "x")
    Plugin.close(plugin)
  end)
)
