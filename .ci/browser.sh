#!/bin/sh
# Makes sure that the browser test can have its browser. Says each step on stderr and
# prints on stdout what the test needs in its environment, to be evaluated by the caller.
#
# A browser that is here is used: PARLEY_BROWSER, else Chromium or Chrome. On a
# Debian-like system, as root, Chromium is installed. Where neither is possible it says
# what is missing; the test then skips, or, with REQUIRE_BROWSER=1, this script fails.
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

# use ends the script with the first of these programs that can be started.
use() {
	for browser in "$@"; do
		path=$(command -v "$browser") || continue
		version=$("$path" --version 2>/dev/null) || continue
		say "the browser is $path: $version"
		echo "export PARLEY_BROWSER='$path'"
		exit
	done
}

# give_up ends the script: the test will skip, unless that is forbidden.
give_up() {
	say "$*"
	case ${REQUIRE_BROWSER:-} in
	'' | 0 | f | F | false | FALSE | False)
		say "going on without: the browser test will be skipped"
		echo "unset PARLEY_BROWSER"
		exit 0
		;;
	esac
	say "REQUIRE_BROWSER is set: giving up"
	exit 1
}

if [ -n "${PARLEY_BROWSER:-}" ]; then
	use "$PARLEY_BROWSER"
	give_up "PARLEY_BROWSER=$PARLEY_BROWSER cannot be started"
fi
use chromium chromium-browser google-chrome google-chrome-stable \
	'/Applications/Chromium.app/Contents/MacOS/Chromium' \
	'/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	give_up "no browser here. Install Chromium, or name one in PARLEY_BROWSER; this script can install it only as root on a Debian-like system"
fi
say "no browser here: installing chromium"
install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends chromium >&2; }
install || {
	say "fetching the package lists"
	apt-get -q update >&2 && install
} || give_up "chromium cannot be installed"
use chromium
give_up "chromium was installed and cannot be started"
