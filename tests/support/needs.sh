# What building and testing need of the system. A missing package is installed where that is possible (Debian, as root); otherwise it is named
# at once, not after twenty minutes of building. Needs common.sh and debian.sh of tests/support/servers.

# For the program: Rust and a C compiler.
need_to_build() {
  command -v cargo >/dev/null || { say "cargo is missing: install Rust through rustup, https://rustup.rs"; return 1; }
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  install_missing
}

# For the tests as well: OpenSSL with its headers and pkg-config (a second binlog decoder links it), strace.
need_to_test() {
  need_to_build || return 1
  local missing=()
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  command -v openssl >/dev/null || missing+=(openssl)
  [ -e /usr/include/openssl/ssl.h ] || pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
  command -v strace >/dev/null || missing+=(strace)
  install_missing
}

install_missing() { [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"; }
