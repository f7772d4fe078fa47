#!/bin/sh
# Makes sure of npm, which brings what makes the types of the client: PARLEY_NPM, or an
# npm that is here. REQUIRE_NODE=1 makes it an error if there is none and none can be
# installed.
set -eu

what='npm' variable=PARLEY_NPM package=npm
required=${REQUIRE_NODE:-} setting=REQUIRE_NODE skipped='the check of the client and its types'

version_of() { "$1" --version 2>/dev/null; }

. "$(dirname "$0")/program.sh"
look_for npm
