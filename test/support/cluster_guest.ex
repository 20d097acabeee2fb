defmodule Wasmex.ClusterGuest do
  @moduledoc "A guest for tests of clusters, as a plug-in that has state and as a library."

  @doc "Version n: tells it, counts, spins, fails, saves and restores what it counted (one byte)."
  def plugin(n) do
    wat = ~s|(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "input_offset" (func $input (result i64)))
      (import "extism:host/env" "load_u8" (func $load (param i64) (result i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (global $n (mut i32) (i32.const 0))
      (func $say (param $byte i32) (local $p i64)
        (local.set $p (call $alloc (i64.const 1)))
        (call $store (local.get $p) (local.get $byte))
        (call $output (local.get $p) (i64.const 1)))
      (func (export "version") (call $say (i32.const #{n})))
      (func (export "count")
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (call $say (global.get $n)))
      (func (export "save") (call $say (global.get $n)))
      (func (export "restore") (global.set $n (call $load (call $input))))
      (func (export "fail") unreachable)
      (func (export "spin") (loop br 0)))|

    Wasmex.Code.new!({:bytes, wat}, version: "#{n}")
  end

  @doc "The options of a deploy of it."
  def options, do: [as: :plugin, policy: {:reuse, 1_000}, max_queue: 10_000]

  @doc "Starts this node's part of a cluster, which nobody owns."
  def start(opts), do: owned(fn -> Wasmex.Cluster.start_link(opts) end)

  @doc "Joins the members of a cluster, and only passes on what they send."
  def spy(to) do
    {:ok, _} = :pg.start(Wasmex.Cluster.Members.scope())
    :ok = :pg.join(Wasmex.Cluster.Members.scope(), :members, self())
    pass_on(to)
  end

  defp pass_on(to) do
    receive do: (message -> send(to, {self(), message}))
    pass_on(to)
  end

  @doc "Starts a server of this node, which nobody owns."
  def serve(opts), do: owned(fn -> Wasmex.HTTP.Server.start_link(opts) end)

  defp owned(start) do
    parent = self()

    spawn(fn ->
      send(parent, start.())
      Process.sleep(:infinity)
    end)

    receive do: ({:ok, pid} -> {:ok, pid})
  end
end
