defmodule Wasmex.WASI.SpecialFilesTest do
  # Files that wait to be opened: a guest must not hold the threads that open files for all stores.
  use ExUnit.Case, async: true

  @moduletag :tmp_dir

  @rust "test/guests/rust_wasi/rust_wasi.wasm"

  setup %{tmp_dir: dir} do
    {_, 0} = System.cmd("mkfifo", [Path.join(dir, "fifo")])
    File.write!(Path.join(dir, "plain"), "hello")
    File.ln_s!("fifo", Path.join(dir, "link"))
    :ok
  end

  defp cat(dir, name, opts \\ []),
    do: Wasmex.run(@rust, ["cat", "/d/#{name}"], [dirs: %{"/d" => dir}, timeout: 20_000] ++ opts)

  test "a FIFO is not opened, also through a link", %{tmp_dir: dir} do
    for name <- ["fifo", "link"] do
      assert {:ok, %{status: 1, stderr: "error: " <> text}} = cat(dir, name)
      assert text =~ "os error 58"
    end

    assert {:ok, %{status: 1}} =
             Wasmex.run(@rust, ["write", "/d/fifo", "x"], dirs: %{"/d" => dir})
  end

  test "the same where calls are traced", %{tmp_dir: dir} do
    test = self()
    assert {:ok, %{status: 1}} = cat(dir, "fifo", trace: &send(test, &1))
    assert_received %Wasmex.Trace{name: "path_open", result: :notsup}
  end

  test "many guests that try hold up nobody", %{tmp_dir: dir} do
    tasks = for _ <- 1..40, do: Task.async(fn -> cat(dir, "fifo") end)
    assert {:ok, %{status: 0, stdout: "hello"}} = cat(dir, "plain")
    for task <- tasks, do: assert({:ok, %{status: 1}} = Task.await(task, 30_000))
  end

  test "a component is refused it too", %{tmp_dir: dir} do
    component = "test/guests/component_command/component_command.wasm"
    opts = [dirs: %{"/d" => dir}, timeout: 20_000]

    assert {:ok, %{status: 0, stdout: "hello"}} =
             Wasmex.run(component, ["read", "/d/plain"], opts)

    assert {:ok, %{status: 1, stderr: text}} = Wasmex.run(component, ["read", "/d/fifo"], opts)
    assert text =~ "os error 58" or text =~ "not supported"
  end
end
