defmodule Wasmex.Wasi.Preview1Test do
  # Functions of preview 1 called one by one, with arguments that no libc would make.
  use ExUnit.Case, async: true

  alias Wasmex.{Exit, Instance, Linker, Memory, Module, Store}
  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  @moduletag :tmp_dir

  @functions [
    clock_res_get: [:i32, :i32],
    clock_time_get: [:i32, :i64, :i32],
    fd_advise: [:i32, :i64, :i64, :i32],
    fd_fdstat_set_flags: [:i32, :i32],
    fd_filestat_set_times: [:i32, :i64, :i64, :i32],
    fd_readdir: [:i32, :i32, :i32, :i64, :i32],
    fd_seek: [:i32, :i64, :i32, :i32],
    fd_write: [:i32, :i32, :i32, :i32],
    path_create_directory: [:i32, :i32, :i32],
    path_filestat_get: [:i32, :i32, :i32, :i32, :i32],
    path_filestat_set_times: [:i32, :i32, :i32, :i32, :i64, :i64, :i32],
    path_link: [:i32, :i32, :i32, :i32, :i32, :i32, :i32],
    path_open: [:i32, :i32, :i32, :i32, :i32, :i64, :i64, :i32, :i32],
    path_readlink: [:i32, :i32, :i32, :i32, :i32, :i32],
    path_remove_directory: [:i32, :i32, :i32],
    path_rename: [:i32, :i32, :i32, :i32, :i32, :i32],
    path_unlink_file: [:i32, :i32, :i32],
    poll_oneoff: [:i32, :i32, :i32, :i32],
    proc_raise: [:i32],
    sock_accept: [:i32, :i32, :i32],
    sock_recv: [:i32, :i32, :i32, :i32, :i32, :i32],
    sock_send: [:i32, :i32, :i32, :i32, :i32],
    sock_shutdown: [:i32, :i32]
  ]

  # The numbers of typenames.witx.
  @ok 0
  @inval 28
  @notdir 54

  # Each function, callable with a memory of the module's own.
  @wat [
    "(module\n",
    for {name, params} <- @functions do
      ~s|(import "wasi_snapshot_preview1" "#{name}" (func $#{name} (param #{Enum.join(params, " ")}) (result i32)))\n|
    end,
    ~s|(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))\n|,
    ~s|(memory (export "memory") 1)\n|,
    for {name, params} <- @functions do
      args = for index <- 0..(length(params) - 1), do: "(local.get #{index}) "

      ~s|(func (export "#{name}") (param #{Enum.join(params, " ")}) (result i32) (call $#{name} #{args}))\n|
    end,
    ~s|(func (export "proc_exit") (param i32) (call $proc_exit (local.get 0))))|
  ]

  # Of a guest that has the directory as its descriptor 3; traced guests go another way to WASI.
  defp start(dir, wasi \\ true) do
    preopen = [%PreopenOptions{path: dir, alias: "/"}]
    {:ok, store} = Store.new_wasi(%WasiOptions{preopen: preopen})
    {:ok, module} = Module.compile(store, IO.iodata_to_binary(@wat))
    {:ok, template} = Linker.instantiate_pre(%Linker{wasi: wasi}, module)
    {:ok, instance} = Wasmex.Template.instantiate(template, store)
    {:ok, memory} = Instance.memory(store, instance)
    %{store: store, instance: instance, memory: memory}
  end

  defp errno(guest, function, args) do
    assert {:ok, [errno]} = Instance.call(guest.instance, function, args)
    errno
  end

  # Where a text is, and its length.
  defp text(guest, text, at \\ 1024) do
    :ok = Memory.write_binary(guest.store, guest.memory, at, text)
    [at, byte_size(text)]
  end

  test "every exit status is what it is", %{tmp_dir: dir} do
    for wasi <- [true, :traced],
        guest = start(dir, wasi),
        status <- Enum.concat(0..255, [256, 70_000]) do
      assert {:error, %Exit{status: ^status}} =
               Instance.call(guest.instance, "proc_exit", [status])
    end

    assert {:error, %Exit{status: 0xFFFFFFFF}} =
             Instance.call(start(dir).instance, "proc_exit", [-1])
  end

  test "a value that its type does not have is an errno, and the program goes on", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "file"), "content")

    for wasi <- [true, :traced] do
      guest = start(dir, wasi)
      [path, size] = text(guest, "file")
      open = [3, 0, path, size, 0, 0x1FFFFFFF, 0, 0, 16]
      assert errno(guest, "path_open", open) == @ok
      <<fd::little-32>> = Memory.read_binary(guest.store, guest.memory, 16, 4)

      wrong = [
        fd_seek: [fd, 0, 3, 32],
        fd_seek: [fd, 0, 9, 32],
        fd_seek: [fd, 0, 255, 32],
        fd_seek: [fd, 0, 256, 32],
        fd_seek: [fd, 0, -1, 32],
        fd_advise: [fd, 0, 0, 6],
        fd_advise: [fd, 0, 0, -1],
        clock_res_get: [4, 32],
        clock_res_get: [-1, 32],
        clock_time_get: [4, 0, 32],
        clock_time_get: [0x7FFFFFFF, 0, 32],
        fd_fdstat_set_flags: [fd, 0x20],
        fd_fdstat_set_flags: [fd, 0x10000],
        fd_fdstat_set_flags: [fd, -1],
        fd_filestat_set_times: [fd, 0, 0, 0x10],
        fd_filestat_set_times: [fd, 0, 0, -1],
        path_filestat_get: [3, 2, path, size, 32],
        path_filestat_get: [3, -1, path, size, 32],
        path_filestat_set_times: [3, 2, path, size, 0, 0, 0],
        path_filestat_set_times: [3, 0, path, size, 0, 0, 0x10],
        path_link: [3, 2, path, size, 3, path, size],
        path_open: [3, 2, path, size, 0, 0, 0, 0, 16],
        path_open: [3, 0, path, size, 0x10, 0, 0, 0, 16],
        path_open: [3, 0, path, size, 0x10000, 0, 0, 0, 16],
        path_open: [3, 0, path, size, 0, 0, 0, 0x20, 16],
        path_open: [3, 0, path, size, 0, -1, 0, 0, 16],
        proc_raise: [31],
        proc_raise: [-1],
        sock_accept: [fd, 0x20, 32],
        sock_recv: [fd, 0, 0, 4, 32, 36],
        sock_send: [fd, 0, 0, 0x10000, 32],
        sock_shutdown: [fd, 4],
        sock_shutdown: [fd, -1]
      ]

      for {function, args} <- wrong,
          do:
            assert(
              {function, args, errno(guest, "#{function}", args)} == {function, args, @inval}
            )

      # Subscriptions, in memory: a type, a clock, flags that there are not.
      clock = fn id, flags ->
        <<0::64, 0, 0::56, id::little-32, 0::160, flags::little-16, 0::48>>
      end

      wrong = [<<0::64, 3, 0::312>>, <<0::64, 255, 0::312>>, clock.(4, 0), clock.(-1, 0)]

      for subscription <- wrong ++ for(flags <- [2, 3, 0x100, 0xFFFF], do: clock.(1, flags)) do
        :ok = Memory.write_binary(guest.store, guest.memory, 2048, subscription)

        assert {subscription, errno(guest, "poll_oneoff", [2048, 4096, 1, 32])} ==
                 {subscription, @inval}
      end

      :ok = Memory.write_binary(guest.store, guest.memory, 2048, clock.(1, 0))
      assert errno(guest, "poll_oneoff", [2048, 4096, 1, 32]) == @ok
      assert errno(guest, "fd_seek", [fd, 3, 0, 32]) == @ok
      assert <<3::little-64>> = Memory.read_binary(guest.store, guest.memory, 32, 8)
    end
  end

  test "a path with a trailing slash must be a directory", %{tmp_dir: dir} do
    File.mkdir!(Path.join(dir, "dir"))
    File.write!(Path.join(dir, "file"), "content")
    File.ln_s!("file", Path.join(dir, "to_file"))
    File.ln_s!("dir", Path.join(dir, "to_dir"))

    for wasi <- [true, :traced] do
      guest = start(dir, wasi)

      for name <- ["file/", "file//", "to_file/", "file/.", "file/./", "file/././/.", "to_file/."] do
        [at, size] = path = text(guest, name)
        [new_at, new_size] = new = text(guest, "new", 2048)

        calls = [
          path_filestat_get: [3, 0 | path] ++ [32],
          path_filestat_get: [3, 1 | path] ++ [32],
          path_filestat_set_times: [3, 1 | path] ++ [0, 0, 0],
          path_open: [3, 1 | path] ++ [0, 2, 0, 0, 16],
          path_open: [3, 1, at, size, 1, 2, 0, 0, 16],
          path_unlink_file: [3 | path],
          path_remove_directory: [3 | path],
          path_rename: [3 | path] ++ [3 | new],
          path_rename: [3, new_at, new_size, 3 | path],
          path_link: [3, 0 | path] ++ [3 | new],
          path_readlink: [3 | path] ++ [4096, 100, 32]
        ]

        for {function, args} <- calls,
            do:
              assert(
                {name, function, errno(guest, "#{function}", args)} == {name, function, @notdir}
              )
      end

      for name <- ["dir/", "to_dir/", "dir//", "dir", "dir/.", "dir/./", "to_dir/.", ".", "./."] do
        path = text(guest, name)
        assert errno(guest, "path_filestat_get", [3, 1 | path] ++ [32]) == @ok
        assert errno(guest, "path_open", [3, 1 | path] ++ [2, 2, 0, 0, 16]) == @ok
      end

      made = "made_#{wasi}/"
      assert errno(guest, "path_create_directory", [3 | text(guest, made)]) == @ok
      assert errno(guest, "path_remove_directory", [3 | text(guest, made)]) == @ok
      assert errno(guest, "path_remove_directory", [3 | text(guest, "to_dir/")]) == @notdir
      assert errno(guest, "path_filestat_get", [3, 0 | text(guest, "file")] ++ [32]) == @ok
      assert File.read!(Path.join(dir, "file")) == "content"
    end
  end

  test "a directory with a name that is not UTF-8 is listed", %{tmp_dir: dir} do
    File.mkdir!(Path.join(dir, "odd"))
    names = ["one", "two", <<"caf", 0xE9>>, <<0xFF, 0xFE>>]
    for name <- names, do: File.write!(dir <> "/odd/" <> name, "x")

    for wasi <- [true, :traced] do
      guest = start(dir, wasi)

      assert errno(guest, "path_open", [3, 0 | text(guest, "odd")] ++ [2, 0, 0, 0, 16]) ==
               @ok

      <<fd::little-32>> = Memory.read_binary(guest.store, guest.memory, 16, 4)

      # In one piece, and in small ones.
      for room <- [4096, 30, 60],
          do: assert(guest |> list(fd, room) |> Enum.sort() == Enum.sort([".", ".." | names]))

      # What is UTF-8 can be opened.
      assert errno(guest, "path_filestat_get", [fd, 0 | text(guest, "one")] ++ [32]) == @ok

      assert errno(guest, "path_filestat_get", [fd, 0 | text(guest, <<"caf", 0xE9>>)] ++ [32]) !=
               @ok

      # Another directory is listed as ever.
      assert list(guest, 3, 4096) |> Enum.sort() == [".", "..", "odd"]

      # The same as a directory of the store itself.
      guest = start(Path.join(dir, "odd"), wasi)

      for room <- [4096, 60],
          do: assert(guest |> list(3, room) |> Enum.sort() == Enum.sort([".", ".." | names]))
    end
  end

  defp list(guest, fd, room, cookie \\ 0) do
    assert errno(guest, "fd_readdir", [fd, 8192, room, cookie, 32]) == @ok
    <<used::little-32>> = Memory.read_binary(guest.store, guest.memory, 32, 4)
    entries = entries(Memory.read_binary(guest.store, guest.memory, 8192, used))
    names = for {name, _next} <- entries, do: name

    if used < room or entries == [],
      do: names,
      else: names ++ list(guest, fd, room, entries |> List.last() |> elem(1))
  end

  # The last may be cut off.
  defp entries(<<next::little-64, _ino::64, size::little-32, _type, _::24, rest::binary>>)
       when byte_size(rest) >= size do
    {name, rest} = :erlang.split_binary(rest, size)
    [{name, next} | entries(rest)]
  end

  defp entries(_cut), do: []
end
