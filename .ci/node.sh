#!/bin/sh
# Makes sure of a Node for the server in another language, and for the client: on
# PARLEY_NODE, or a node or nodejs that is here. REQUIRE_NODE=1 makes it an error if
# there is none and none can be installed.
set -eu

what='Node 18 or later' variable=PARLEY_NODE package=nodejs
required=${REQUIRE_NODE:-} setting=REQUIRE_NODE skipped='what runs in Node'

version_of() {
	version=$("$1" --version 2>/dev/null) || return 1
	major=${version#v}
	[ "${major%%.*}" -ge 18 ] 2>/dev/null && echo "$version"
}

. "$(dirname "$0")/program.sh"
look_for node nodejs
