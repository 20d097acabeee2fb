# Shared by the scripts: an environment in which mix and cargo find each other. Sourced, not run.
# shellcheck shell=bash

say() { printf '==> %s\n' "$*"; }

die() {
  say "$*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# The Mix compiler's target folder, see lib/mix/tasks/compile.wasmex_nif.ex. Exported so that cargo started from a
# script uses it too, and wasmtime is compiled only once.
case "$(uname -s)" in
  Darwin) cache="$HOME/Library/Caches/wasmex" ;;
  *) cache="${XDG_CACHE_HOME:-$HOME/.cache}/wasmex" ;;
esac
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"

# Elixir only uses UTF-8 if the locale says so; a bare container's does not.
case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in
  *[Uu][Tt][Ff]-8 | *[Uu][Tt][Ff]8) ;;
  *)
    export LC_ALL=C.UTF-8
    export ELIXIR_ERL_OPTIONS="+fnu ${ELIXIR_ERL_OPTIONS:-}"
    ;;
esac

rust_wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"

# Whether cargo exists and is new enough. Debian 12's own (1.63) is not.
rust_is_there() {
  local found
  found="$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" || return 1
  [ "$(printf '%s\n' "$rust_wanted" "$found" | sort -V | head -n 1)" = "$rust_wanted" ]
}

# rustup's folder is only in PATH of shells started after the installation.
rust_is_there || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
