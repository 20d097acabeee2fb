# The targets of archives. Sourced, not run.
# shellcheck shell=bash

targets=(x86_64-linux-gnu aarch64-linux-gnu x86_64-linux-musl aarch64-linux-musl x86_64-macos aarch64-macos x86_64-windows-gnu)

# triple TARGET: as cargo-zigbuild names it.
triple() {
  case "$1" in
    # The glibc version of Debian 11, Ubuntu 20.04 and RHEL 8.
    x86_64-linux-gnu) echo x86_64-unknown-linux-gnu.2.28 ;;
    aarch64-linux-gnu) echo aarch64-unknown-linux-gnu.2.28 ;;
    x86_64-linux-musl) echo x86_64-unknown-linux-musl ;;
    aarch64-linux-musl) echo aarch64-unknown-linux-musl ;;
    x86_64-macos) echo x86_64-apple-darwin ;;
    aarch64-macos) echo aarch64-apple-darwin ;;
    x86_64-windows-gnu) echo x86_64-pc-windows-gnu ;;
    *) die "unknown target $1" ;;
  esac
}

# needs_zig PLAIN_TRIPLE: installs the standard library of a target.
needs_zig() {
  command -v cargo-zigbuild >/dev/null || die "cargo install cargo-zigbuild, and pip install ziglang"
  rustup target add "$1" >/dev/null 2>&1 || true
}
