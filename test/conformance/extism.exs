# Runs the cases of plug-ins in a folder: mix run test/conformance/extism.exs DIR [NAME…]
[dir | names] = System.argv()
alias Wasmex.{PluginCases, PluginHttpd}

# What plug-ins log is compared, not printed.
for id <- :logger.get_handler_ids(), do: :logger.remove_handler(id)
port = PluginHttpd.start()

wanted = fn case -> names == [] or Enum.any?(names, &(case["name"] =~ &1)) end
cases = dir |> PluginCases.load() |> Enum.filter(wanted)

failed =
  for case <- cases, text = PluginCases.run(case, dir, port), text != :ok do
    IO.puts("#{case["name"]}: #{text}")
  end

IO.puts("#{length(cases) - length(failed)}/#{length(cases)}")
if failed != [], do: exit({:shutdown, 1})
