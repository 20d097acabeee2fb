# What the suite and the VMs that it starts compile is kept for this run alone, not in the user's cache.
cache = Path.join(System.tmp_dir!(), "wasmex-test-#{System.pid()}")
System.put_env("WASMEX_CACHE", cache)
System.at_exit(fn _status -> File.rm_rf(cache) end)

# Long compiles are logged; tests that want it turn it on.
Logger.put_module_level(Wasmex.Compiler.Notice, :none)

# Kills, floods and races take their time: `mix test --include stress`. So does what starts many VMs, or has to be
# installed first: `--include package`. The gate runs both.
# Waits end when what they wait for is there; these bounds are for machines that have much else to do.
# Many tests wait for other processes, so more of them run at once than there are schedulers.
ExUnit.start(
  max_cases: 4 * System.schedulers_online(),
  assert_receive_timeout: 10_000,
  timeout: 600_000,
  exclude: [:stress, :package, :lean]
)
