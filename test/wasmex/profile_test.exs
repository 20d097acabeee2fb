defmodule Wasmex.ProfileTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Profile, Trap}

  @busy ~S"""
  (module $busy
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 1)
    (func $work (param $n i32)
      (loop $again
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $again (local.get $n))))
    (func $trap unreachable)
    (func (export "_start") (call $work (i32.const 40000000)) (call $proc_exit (i32.const 3)))
    (func (export "trap") (call $work (i32.const 40000000)) (call $trap)))
  """

  defp hot(profile) do
    {frames, _} = Enum.max_by(profile.stacks, &elem(&1, 1))
    List.last(frames)
  end

  test "is made also when the program exits, traps or is stopped" do
    assert {:ok, %{status: 3, profile: profile}} = Wasmex.run(@busy, [], profile: true)
    assert hot(profile) == "work"
    assert profile.json =~ ~s|"work"|

    assert {:error, %Trap{run: %{profile: profile}}} =
             Wasmex.run(@busy, [], profile: true, invoke: {"trap", []})

    assert hot(profile) == "work"

    assert {:error, %Error{reason: :timeout, run: %{profile: profile}}} =
             Wasmex.run("test/guests/rust_wasi/rust_wasi.wasm", ["spin"],
               profile: true,
               timeout: 50
             )

    assert profile.stacks != []
    assert {:ok, %{profile: nil}} = Wasmex.run(@busy)
  end

  test "has stacks as deep as they are, and traps say where they began" do
    wat = ~S"""
    (module
      (func $down (export "down") (param $n i32)
        (if (local.get $n)
          (then (call $down (i32.sub (local.get $n) (i32.const 1))))
          (else (call $work (i32.const 40000000)))))
      (func $work (param $n i32)
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        unreachable))
    """

    assert {:error, %Trap{run: %{profile: profile}} = trap} =
             Wasmex.run(wat, [], profile: true, invoke: {"down", [100]})

    {frames, _} = Enum.max_by(profile.stacks, &elem(&1, 1))
    assert length(frames) == 102 and List.last(frames) == "work"
    assert length(trap.backtrace) == 20
    assert trap.detail =~ "\n   19: " and trap.detail =~ "\n  ... 82 more\n"
    refute trap.detail =~ "\n   20: "
  end

  @tag :tmp_dir
  test "is written in three forms", %{tmp_dir: dir} do
    profile = %Profile{name: "a<b", json: "{}", stacks: [{["main", "f;g"], 2}, {["main"], 1}]}
    assert Profile.folded(profile) == "main 1\nmain;f:g 2\n"
    svg = Profile.flame_graph(profile)
    assert svg =~ "a&lt;b: 3 samples" and svg =~ "main: 3 samples, 100.0 %"
    assert length(String.split(svg, "<g>")) == 3 and length(String.split(svg, "</g>")) == 3
    assert Profile.flame_graph(%Profile{}) =~ "0 samples"

    for {name, start} <- [{"p.json", "{}"}, {"p.svg", "<?xml"}, {"p.folded", "main 1"}] do
      assert Profile.write(profile, Path.join(dir, name)) == :ok
      assert String.starts_with?(File.read!(Path.join(dir, name)), start)
    end

    assert {:error, :enoent} = Profile.write(profile, Path.join(dir, "no/such/p.svg"))
  end

  test "a core dump is a wasm module with the memory and the globals of the trap" do
    wat = ~S"""
    (module (memory (export "memory") 1) (global $g (mut i32) (i32.const 5))
      (func (export "_start")
        (i32.store (i32.const 8) (i32.const 0x64636261)) (global.set $g (i32.const 77)) unreachable))
    """

    assert {:error, %Trap{run: %{core_dump: <<0, "asm", 1, 0, 0, 0, _::binary>> = dump}}} =
             Wasmex.run(wat, [], core_dump: true)

    assert dump =~ "abcd"
    assert dump =~ "core"
    assert {:error, %Trap{run: %{core_dump: nil}}} = Wasmex.run(wat)
  end
end
