defmodule Wasmex.CaseTest do
  use ExUnit.Case, async: true

  # The tests are run for real, in an ExUnit of their own: what fails has to fail, and show why.
  @moduletag :tmp_dir

  defp ex_unit(dir, body) do
    path = Path.join(dir, "guest_test.exs")

    File.write!(path, """
    {:ok, _} = Application.ensure_all_started(:wasmex)
    ExUnit.start()
    defmodule GuestTest do
      use ExUnit.Case, async: true
      #{body}
    end
    """)

    ebin = Application.app_dir(:wasmex, "ebin")

    System.cmd("elixir", ["-pa", ebin, path],
      stderr_to_stdout: true,
      env: [{"ERL_LIBS", Path.dirname(Application.app_dir(:wasmex))}]
    )
  end

  @wat ~S"""
  use Wasmex.Case, fuel: true, bytes: ~S|(module (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "grow") (drop (memory.grow (i32.const 1))))
    (func (export "loop") (local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000))))))|
  """

  test "each test has an instance of its own, and assertions hold", %{tmp_dir: dir} do
    assert {output, 0} =
             ex_unit(
               dir,
               @wat <>
                 ~S"""
                 for n <- 1..3 do
                   test "fresh #{n}", %{instance: instance} do
                     assert call(instance, "next") == {:ok, [1]}
                     assert assert_fuel(instance, 1_000, fn -> call(instance, "next") end) == {:ok, [2]}
                     assert_no_growth(instance, fn -> call(instance, "next") end)
                   end
                 end
                 """
             )

    assert output =~ ~r/3 tests, 0 failures|3 passed/
  end

  test "what does not hold fails, and says why", %{tmp_dir: dir} do
    assert {output, status} =
             ex_unit(
               dir,
               @wat <>
                 ~S"""
                 test "fuel", %{instance: instance}, do: assert_fuel(instance, 1_000, fn -> call(instance, "loop") end)
                 test "growth", %{instance: instance}, do: assert_no_growth(instance, fn -> call(instance, "grow") end)
                 """
             )

    assert status != 0
    assert output =~ ~r/used \d+ fuel, more than 1000/
    assert output =~ ~r/grew from \d+ to \d+ bytes/
    assert output =~ ~r/2 tests, 2 failures|Failed: 2 tests/
  end

  test "a failure shows the guest's standard error", %{tmp_dir: dir} do
    guest = Path.expand("test/guests/rust_wasi/rust_wasi.wasm")

    assert {output, status} =
             ex_unit(dir, """
             use Wasmex.Case, path: #{inspect(guest)}, wasi: %Wasmex.Wasi.WasiOptions{args: ["x", "panic"]}
             test "panics", %{instance: instance}, do: assert {:ok, _} = call(instance, "_start")
             """)

    assert status != 0
    assert output =~ "the guest panics"
    assert output =~ "#Wasmex.Trap<unreachable"
  end

  test "components, too", %{tmp_dir: dir} do
    guest = Path.expand("test/guests/component_js/component_js.wasm")

    assert {output, 0} =
             ex_unit(dir, """
             use Wasmex.Case, path: #{inspect(guest)}
             test "words", %{instance: instance}, do: assert call(instance, {"test:js/texts@1.0.0", "words"}, ["b a"]) == {:ok, ["a", "b"]}
             """)

    assert output =~ ~r/1 test, 0 failures|1 passed/
  end
end
