defmodule Wasmex.Cache.DiskTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Engine, EngineConfig, Error, Instance, Module, Store}
  alias Wasmex.Cache.Disk
  alias Wasmex.Components.Component

  @moduletag :tmp_dir

  # ExUnit's own folder stands in the project, which may be anybody's.
  setup %{tmp_dir: dir} do
    dir = Path.join(dir, "cache")
    on_exit(fn -> File.rm_rf(dir) end)
    %{dir: dir}
  end

  defp number(module, store) do
    {:ok, instance} = Instance.new(store, module, %{})
    Instance.call(instance, "f", [])
  end

  # `File.chmod/2` leaves out the bit that /tmp has.
  defp chmod(dir, mode), do: {_, 0} = System.cmd("chmod", [Integer.to_string(mode, 8), dir])

  defp wat(n), do: ~s|(module (func (export "f") (result i32) i32.const #{n}))|

  test "an engine finds what it compiled before, in a directory of mode 0700", %{dir: dir} do
    assert {:ok, engine} = Engine.new(%EngineConfig{cache: dir})
    assert Bitwise.band(File.stat!(dir).mode, 0o777) == 0o700

    for where <- [:in_process, :isolated] do
      {:ok, store} = Store.new(nil, engine)
      {:ok, module} = Module.compile(engine, wat(7), compile: where)
      assert number(module, store) == {:ok, [7]}
      assert {:ok, _} = Component.compile(engine, "(component)", compile: where)
    end

    # Text, which only the helper reads, has entries of its own.
    assert [_, _, _, _] = entries = File.ls!(dir)

    for entry <- entries,
        do: assert(Bitwise.band(File.stat!(Path.join(dir, entry)).mode, 0o777) == 0o600)

    # Found and not made again: another engine of the same settings leaves them as they are.
    {:ok, engine} = Engine.new(%EngineConfig{cache: dir})
    assert {:ok, _} = Module.compile(engine, wat(7))
    assert Enum.sort(File.ls!(dir)) == Enum.sort(entries)

    # Other settings, other artefacts.
    {:ok, engine} = Engine.new(%EngineConfig{cache: dir, consume_fuel: true})
    assert {:ok, _} = Module.compile(engine, wat(7))
    assert length(File.ls!(dir)) == 5
  end

  test "an entry that was altered is made anew", %{dir: dir} do
    {:ok, engine} = Engine.new(%EngineConfig{cache: dir})
    {:ok, store} = Store.new(nil, engine)
    {:ok, _} = Module.compile(engine, wat(7))
    [entry] = File.ls!(dir)
    path = Path.join(dir, entry)
    good = File.read!(path)

    for bad <- [
          "",
          "short",
          binary_part(good, 0, byte_size(good) - 1),
          binary_part(good, 0, div(byte_size(good), 2)) <>
            "x" <>
            binary_part(
              good,
              div(byte_size(good), 2) + 1,
              byte_size(good) - div(byte_size(good), 2) - 1
            )
        ] do
      File.write!(path, bad)
      assert {:ok, module} = Module.compile(engine, wat(7))
      assert number(module, store) == {:ok, [7]}
      assert File.read!(path) == good
    end
  end

  test "a directory that others may write to is refused", %{dir: dir} do
    File.mkdir_p!(dir)

    for mode <- [0o777, 0o770, 0o702, 0o1777] do
      chmod(dir, mode)
      assert {:error, %Error{reason: :cache} = error} = Disk.check(dir)

      assert Exception.message(error) =~
               "is writable by other users (mode #{Integer.to_string(mode, 8)})"

      assert {:error, text} = Engine.new(%EngineConfig{cache: dir})
      assert text =~ dir
    end

    # Also later, while an engine uses it.
    File.chmod!(dir, 0o755)
    assert {:ok, engine} = Engine.new(%EngineConfig{cache: dir})
    File.chmod!(dir, 0o777)
    assert {:error, text} = Module.compile(engine, wat(7))
    assert text =~ "is writable by other users"
  end

  test "so is one whose place others may change", %{dir: dir} do
    inner = Path.join(dir, "inner")
    File.mkdir_p!(inner)
    File.chmod!(inner, 0o700)
    File.chmod!(dir, 0o777)
    assert {:error, %Error{reason: :cache, details: %{path: ^dir}}} = Disk.check(inner)
    # As /tmp is: who has no right to an entry can't move it.
    chmod(dir, 0o1777)
    assert Disk.check(inner) == :ok
  end

  test "symbolic links are followed, and each place that they lead through is checked", %{
    dir: dir
  } do
    [real, shared, way] = for name <- ~w(real shared way), do: Path.join(dir, name)
    for made <- [dir, real, shared, way, Path.join(shared, "inner")], do: File.mkdir_p!(made)
    link = Path.join(way, "link")
    File.ln_s!("../real", link)
    assert Disk.check(link) == :ok
    assert Disk.check(Path.join(link, "new")) == :ok
    # The directory itself is the user's alone, but others can replace it.
    File.chmod!(shared, 0o777)
    File.rm!(link)
    File.ln_s!(Path.join(shared, "inner"), link)
    assert {:error, %Error{reason: :cache, details: %{path: ^shared}}} = Disk.check(link)
    # Others can replace the link, or one that it leads to.
    File.chmod!(shared, 0o700)
    assert Disk.check(link) == :ok
    File.chmod!(way, 0o777)
    assert {:error, %Error{reason: :cache, details: %{path: ^way}}} = Disk.check(link)
    outer = Path.join(dir, "outer")
    File.ln_s!(link, outer)
    assert {:error, %Error{reason: :cache, details: %{path: ^way}}} = Disk.check(outer)
    loop = Path.join(dir, "loop")
    File.ln_s!(loop, loop)
    assert {:error, %Error{reason: :cache}} = Disk.check(loop)
    assert {:error, %Error{reason: :cache}} = Disk.check(Path.join(loop, "inner"))
  end

  test "a link leads where the system says", %{dir: dir} do
    [near, far] = for name <- ~w(near far), do: Path.join(dir, name)
    for made <- ~w(near/target far/deep/inner far/target), do: File.mkdir_p!(Path.join(dir, made))
    # `hop/..` is where `hop` leads to, and up.
    File.ln_s!("../far/deep", Path.join(near, "hop"))
    up = Path.join(near, "up")
    File.ln_s!("./hop/../target", up)
    # In a link, `~` is a name like others.
    File.ln_s!("hop", Path.join(near, "~"))
    tilde = Path.join(near, "tilde")
    File.ln_s!("~/inner", tilde)
    for link <- [up, tilde], do: assert(Disk.check(link) == :ok)
    File.chmod!(far, 0o777)

    for link <- [up, tilde],
        do: assert({:error, %Error{reason: :cache, details: %{path: ^far}}} = Disk.check(link))
  end

  test "a directory that can't be made is an error", %{dir: dir} do
    File.mkdir_p!(dir)
    File.write!(Path.join(dir, "file"), "")
    assert {:error, text} = Engine.new(%EngineConfig{cache: Path.join(dir, "file/cache")})
    assert text =~ "cannot be created"
  end
end
