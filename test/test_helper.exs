# Kills, floods and races take their time: `mix test --include stress`.
# Waits end when what they wait for is there; these bounds are for machines that have much else to do.
ExUnit.start(assert_receive_timeout: 10_000, timeout: 240_000, exclude: [:stress])
