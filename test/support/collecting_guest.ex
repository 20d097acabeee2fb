defmodule Wasmex.CollectingGuest do
  @moduledoc false
  # A guest with many objects: while it makes garbage, these are collected most of the time.

  alias Wasmex.{Engine, Instance, Module, Store, StoreLimits}

  @wat """
  (module
    (type $node (struct (field (ref null $node)) (field i64 i64 i64)))
    (global $head (mut (ref null $node)) (ref.null $node))
    (func (export "one") (result i32) (i32.const 1))
    (func (export "objects") (param i32)
      (loop $again
        (global.set $head
          (struct.new $node (global.get $head) (i64.const 1) (i64.const 2) (i64.const 3)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "garbage")
      (loop $again
        (drop (struct.new $node (ref.null $node) (i64.const 1) (i64.const 2) (i64.const 3)))
        (br $again))))
  """

  # These fill most of a half of the heap of a gigabyte: to copy them takes a quarter of a second or more.
  @objects 9_000_000

  @spec objects() :: pos_integer()
  def objects, do: @objects

  @spec wat() :: String.t()
  def wat, do: @wat

  @spec limits() :: StoreLimits.t()
  def limits, do: %StoreLimits{memory_size: 2_000_000_000}

  @doc "An instance with its objects, and its store."
  @spec new() :: {Instance.t(), Store.t()}
  def new do
    {:ok, store} = Store.new(limits())
    {:ok, module} = Module.compile(Engine.default(), @wat)
    {:ok, instance} = Instance.new(store, module, %{})
    {:ok, []} = Instance.call(instance, "objects", [@objects])
    {instance, store}
  end

  @doc "A process that makes garbage, and has for a while: a different one for each number."
  @spec begin(Instance.t(), pos_integer()) :: pid()
  def begin(instance, number) do
    pid = spawn(fn -> Instance.call(instance, "garbage", []) end)
    wait(number)
    pid
  end

  @spec wait(pos_integer()) :: :ok
  def wait(number), do: Process.sleep(150 + rem(37 * number, 300))
end
