#!/bin/sh
# Makes sure of a C compiler: the race detector is linked with it. Installs one
# as root on a Debian-like system, elsewhere says what is missing and fails.
set -eu

compiler=$("${GO:-go}" env CC)
if command -v "${compiler%% *}" >/dev/null 2>&1; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	echo "setup: go test -race needs a C compiler ($compiler) and there is none: install one, or run with RACE= to go without the race detector" >&2
	exit 1
fi
echo "setup: go test -race needs a C compiler: installing gcc" >&2
install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends gcc libc6-dev >&2; }
install || { apt-get -q update >&2 && install; }
