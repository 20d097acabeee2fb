# Roots of Debian versions, made with debootstrap, for scripts that need other versions than this machine has. Sourced,
# not run. They are kept under $XDG_CACHE_HOME/wasmex/roots (a few hundred megabytes each), or WASMEX_ROOTS.
# shellcheck shell=bash

roots=${WASMEX_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/wasmex/roots}

# The mirror used by apt on this machine.
mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    sed -n 's/^deb \(\[[^]]*\] \)\?\(https\?:[^ ]*\).*/\2/p' | head -n 1
  sed -n 's/^URIs: *\(https\?:[^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1 || true
}

# make_root SUITE: with Elixir and Erlang, unless it is there.
make_root() {
  local suite=$1 root=$roots/$1
  [ "$(id -u)" = 0 ] || die "this needs root: it makes roots of other Debian versions and enters them"
  [ -e "$root/.made" ] && return
  command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap
  say "$suite: making $root, some minutes"
  mkdir -p "$root"
  debootstrap --variant=minbase --include=elixir,erlang-nox,erlang-dev,ca-certificates \
    "$suite" "$root" "$(mirror | grep . | head -n 1)" >"$root.log" 2>&1 || die "debootstrap failed, see $root.log"
  touch "$root/.made"
}

# mount_root SUITE, and umount "$roots/SUITE/proc" at the end.
mount_root() {
  local root=$roots/$1
  grep -qs localhost "$root/etc/hosts" || echo "127.0.0.1 localhost" >"$root/etc/hosts"
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
}
