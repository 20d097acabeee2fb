defmodule Wasmex.Build.PlatformTest do
  use ExUnit.Case, async: true

  alias Wasmex.Build.Platform

  test "names of Erlang and of Rust have the names of the archives" do
    for {name, target} <- [
          {"x86_64-pc-linux-gnu", "x86_64-linux-gnu"},
          {"x86_64-redhat-linux-gnu", "x86_64-linux-gnu"},
          {"aarch64-unknown-linux-gnu", "aarch64-linux-gnu"},
          {"x86_64-alpine-linux-musl", "x86_64-linux-musl"},
          {"aarch64-alpine-linux-musl", "aarch64-linux-musl"},
          {"aarch64-apple-darwin23.5.0", "aarch64-macos"},
          {"arm64-apple-darwin24.0.0", "aarch64-macos"},
          {"x86_64-apple-darwin22.6.0", "x86_64-macos"},
          {"win32", "x86_64-windows-gnu"},
          {"x86_64-pc-windows", "x86_64-windows-gnu"},
          {"x86_64-pc-windows-gnu", "x86_64-windows-gnu"}
        ],
        do: assert(Platform.parse(name) == {:ok, target})

    for other <-
          ~w(riscv64-unknown-linux-gnu x86_64-unknown-freebsd14.0 arm-unknown-linux-gnueabihf x86_64-linux-gnux32
             aarch64-linux-android aarch64-pc-windows-msvc),
        do: assert({:none, "there is no archive for " <> ^other} = Platform.parse(other))
  end

  test "the libc is the one that the VM is linked to, whatever Erlang reports" do
    musl = "7f3b8d200000-7f3b8d215000 r-xp 00000000 fe:00 1 /lib/ld-musl-x86_64.so.1\n"

    glibc =
      "7fe0b1800000-7fe0b1828000 r--p 00000000 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n"

    assert Platform.of_libc("x86_64-pc-linux-gnu", musl) == "x86_64-pc-linux-musl"
    assert Platform.of_libc("x86_64-unknown-linux", musl) == "x86_64-unknown-linux-musl"
    assert Platform.of_libc("aarch64-unknown-linux", glibc) == "aarch64-unknown-linux-gnu"
    assert Platform.of_libc("x86_64-alpine-linux-musl", glibc) == "x86_64-alpine-linux-gnu"
    # Without /proc, Erlang's name stays.
    assert Platform.of_libc("x86_64-pc-linux-musl", "") == "x86_64-pc-linux-musl"
    assert Platform.of_libc("aarch64-apple-darwin23.5.0", musl) == "aarch64-apple-darwin23.5.0"
  end

  test "this VM has a platform" do
    assert {:ok, target} = Platform.host()
    assert Platform.target(fn _name -> nil end) == {:ok, target}
  end

  test "another machine's platform is cargo's, or that of Nerves" do
    target = fn variables -> Platform.target(&Map.get(variables, &1)) end

    assert target.(%{"CARGO_BUILD_TARGET" => "aarch64-unknown-linux-musl"}) ==
             {:ok, "aarch64-linux-musl"}

    assert target.(%{"TARGET_ARCH" => "aarch64", "TARGET_OS" => "linux", "TARGET_ABI" => "gnu"}) ==
             {:ok, "aarch64-linux-gnu"}

    assert target.(%{"TARGET_ARCH" => "x86_64", "TARGET_ABI" => "musl"}) ==
             {:ok, "x86_64-linux-musl"}

    assert {:none, _} = target.(%{"TARGET_ARCH" => "arm", "TARGET_ABI" => "gnueabihf"})
    assert target.(%{"CARGO_BUILD_TARGET" => "", "TARGET_ARCH" => ""}) == Platform.host()
  end
end
