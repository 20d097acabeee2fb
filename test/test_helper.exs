# Kills, floods and races take their time: `mix test --include stress`.
ExUnit.start(exclude: [:stress])
