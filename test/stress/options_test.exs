defmodule Wasmex.Stress.OptionsTest do
  # Large options: arguments, environment variables, input, and the like.
  use ExUnit.Case, async: false

  @moduletag :stress
  @moduletag timeout: :infinity

  alias Wasmex.{Components, Instance, Module, Pipe, Store}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions, WasiP2Options}

  import Wasmex.Held

  setup do: on_exit(fn -> :persistent_term.erase(__MODULE__) end)

  @module """
  (module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $arg_sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (memory (export "memory") 1600)
    (func (export "environment") (result i32)
      (if (call $env_sizes (i32.const 0) (i32.const 4)) (then unreachable))
      (if (call $env (i32.const 8) (i32.const 16000000)) (then unreachable))
      (i32.load (i32.const 0)))
    (func (export "arguments") (result i32)
      (if (call $arg_sizes (i32.const 0) (i32.const 4)) (then unreachable))
      (if (call $args (i32.const 8) (i32.const 16000000)) (then unreachable))
      (i32.load (i32.const 0))))
  """

  @component """
  (component
    (import "wasi:cli/environment@0.2.0" (instance $cli
      (export "get-environment" (func (result (list (tuple string string)))))
      (export "get-arguments" (func (result (list string))))))
    #{Wasmex.LibcWat.libc(1600)}
    (core instance $libc (instantiate $libc))
    (core func $env (canon lower (func $cli "get-environment")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $args (canon lower (func $cli "get-arguments")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m
      (import "e" "memory" (memory 1))
      (import "e" "reset" (func $reset))
      (import "e" "env" (func $env (param i32)))
      (import "e" "args" (func $args (param i32)))
      (func (export "environment") (result i32)
        (call $reset) (call $env (i32.const 0)) (i32.load (i32.const 4)))
      (func (export "arguments") (result i32)
        (call $reset) (call $args (i32.const 0)) (i32.load (i32.const 4))))
    (core instance $e
      (export "memory" (memory $libc "memory")) (export "reset" (func $libc "reset"))
      (export "env" (func $env)) (export "args" (func $args)))
    (core instance $i (instantiate $m (with "e" (instance $e))))
    (func (export "environment") (result u32) (canon lift (core func $i "environment")))
    (func (export "arguments") (result u32) (canon lift (core func $i "arguments"))))
  """

  # Collecting the garbage of a process with as many terms takes long, in plain Elixir as well: here none is collected.
  defp assert_roomy_not_held(options, fun) do
    :persistent_term.put(__MODULE__, options)

    assert_not_held(fn ->
      Process.flag(:min_heap_size, 60_000_000)
      :erlang.garbage_collect()
      fun.(:persistent_term.get(__MODULE__))
    end)
  end

  # 50 MB in one string, and in very many.
  defp large do
    value = String.duplicate("x", 50_000_000)
    many = Map.new(1..500_000, &{"NAME_#{&1}", String.duplicate("x", 90)})
    args = Enum.map(1..500_000, &"--argument-number-#{&1}=#{String.duplicate("x", 70)}")

    [
      {1, 1, env: %{"A" => value}, args: [value]},
      {500_000, 500_000, env: many, args: args}
    ]
  end

  test "arguments and environment variables of modules" do
    {:ok, module} = Module.compile(Wasmex.Engine.default(), @module)

    for {env, args, options} <- large() do
      options = struct!(WasiOptions, options)

      assert_roomy_not_held(options, fn options ->
        {:ok, store} = Store.new_wasi(options)
        {:ok, instance} = Instance.new(store, module, %{})
        assert Instance.call(instance, "environment", []) == {:ok, [env]}
        assert Instance.call(instance, "arguments", []) == {:ok, [args]}
        Store.close(store)
      end)

      # Never used, and freed when its process ends.
      assert_roomy_not_held(options, fn options -> {:ok, _store} = Store.new_wasi(options) end)
    end
  end

  test "arguments and environment variables of components" do
    {:ok, store} = Components.Store.new_wasi(%WasiP2Options{})
    {:ok, component} = Components.Component.new(store, @component)

    for {env, args, options} <- large() do
      options = struct!(WasiP2Options, options)

      assert_roomy_not_held(options, fn options ->
        {:ok, store} = Components.Store.new_wasi(options)
        {:ok, instance} = Components.Instance.new(store, component, %{})
        assert Components.Instance.call(instance, "environment", []) == {:ok, env}
        assert Components.Instance.call(instance, "arguments", []) == {:ok, args}
        Components.Store.close(store)
      end)
    end
  end

  test "arguments and environment variables of programs" do
    program = "(module (memory (export \"memory\") 1) (func (export \"_start\")))"

    for {_env, _args, options} <- large() do
      assert_roomy_not_held(options, fn options ->
        {args, options} = Keyword.pop!(options, :args)
        {:ok, %{status: 0}} = Wasmex.run(program, args, options)
      end)
    end
  end

  test "input of 200 MB, of which a program reads nothing" do
    input = :binary.copy("x", 200_000_000)
    program = "(module (memory (export \"memory\") 1) (func (export \"_start\")))"
    assert_not_held(fn -> {:ok, %{status: 0}} = Wasmex.run(program, [], stdin: input) end)

    assert_not_held(fn ->
      {:ok, pipe} = Pipe.new()
      {:ok, _} = Pipe.write(pipe, input)
      {:ok, store} = Store.new_wasi(%WasiOptions{stdin: pipe})
      Store.close(store)
    end)
  end

  @tag :tmp_dir
  test "10,000 directories", %{tmp_dir: dir} do
    preopen = for n <- 1..10_000, do: %PreopenOptions{path: dir, alias: "/#{n}"}

    for options <- [%WasiOptions{preopen: preopen}, %WasiP2Options{preopen: preopen}] do
      make =
        if is_struct(options, WasiOptions),
          do: &Store.new_wasi/1,
          else: &Components.Store.new_wasi/1

      result = assert_not_held(fn -> make.(options) end)
      assert {:error, _too_many} = result
    end
  end
end
