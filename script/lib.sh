# What the scripts share: an environment in which mix and cargo find each other. Sourced, not run.
# shellcheck shell=bash

say() { printf '==> %s\n' "$*"; }

die() {
  say "$*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# Where the Mix compiler keeps what it compiles, see lib/mix/tasks/compile.wasmex_nif.ex. Exported,
# so that a cargo started from a script shares it and wasmtime is compiled once.
case "$(uname -s)" in
  Darwin) cache="$HOME/Library/Caches/wasmex" ;;
  *) cache="${XDG_CACHE_HOME:-$HOME/.cache}/wasmex" ;;
esac
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"

# Elixir reads and writes UTF-8 only where the locale says so; a bare container's says nothing.
case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in
  *[Uu][Tt][Ff]-8 | *[Uu][Tt][Ff]8) ;;
  *)
    export LC_ALL=C.UTF-8
    export ELIXIR_ERL_OPTIONS="+fnu ${ELIXIR_ERL_OPTIONS:-}"
    ;;
esac

rust_wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"

# Is there a cargo, and is it new enough? Debian 12's own (1.63) is not.
rust_is_there() {
  local found
  found="$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" || return 1
  [ "$(printf '%s\n' "$rust_wanted" "$found" | sort -V | head -n 1)" = "$rust_wanted" ]
}

# rustup's folder is in PATH only of shells started after it was installed.
rust_is_there || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
