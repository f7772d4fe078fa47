#!/bin/sh
# Makes sure that the contract suite can be tried on a server in another language. Says
# each step on stderr and prints on stdout what the test needs in its environment, to be
# evaluated by the caller.
#
# A Node that is here is used: PARLEY_NODE, else node or nodejs, of version 18 or later.
# On a Debian-like system, as root, nodejs is installed. Where neither is possible it
# says what is missing; the test then skips, or, with REQUIRE_NODE=1, this script fails.
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

# use ends the script with the first of these programs that is recent enough.
use() {
	for node in "$@"; do
		path=$(command -v "$node") || continue
		version=$("$path" --version 2>/dev/null) || continue
		major=${version#v}
		major=${major%%.*}
		[ "$major" -ge 18 ] 2>/dev/null || continue
		say "Node is $path: $version"
		echo "export PARLEY_NODE='$path'"
		exit
	done
}

# give_up ends the script: the test will skip, unless that is forbidden.
give_up() {
	say "$*"
	case ${REQUIRE_NODE:-} in
	'' | 0 | f | F | false | FALSE | False)
		say "going on without: the test of a server in Node will be skipped"
		echo "unset PARLEY_NODE"
		exit 0
		;;
	esac
	say "REQUIRE_NODE is set: giving up"
	exit 1
}

if [ -n "${PARLEY_NODE:-}" ]; then
	use "$PARLEY_NODE"
	give_up "PARLEY_NODE=$PARLEY_NODE is not Node 18 or later"
fi
use node nodejs
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	give_up "no Node 18 or later here. Install it, or name one in PARLEY_NODE; this script can install it only as root on a Debian-like system"
fi
say "no Node 18 or later here: installing nodejs"
install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends nodejs >&2; }
install || {
	say "fetching the package lists"
	apt-get -q update >&2 && install
} || give_up "nodejs cannot be installed"
use node nodejs
give_up "nodejs was installed and is not of version 18 or later"
