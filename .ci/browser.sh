#!/bin/sh
# Makes sure that the browser test can have its browser: PARLEY_BROWSER, or a Chromium or
# Chrome that is here. REQUIRE_BROWSER=1 makes it an error if there is none and none can
# be installed.
set -eu

what='a browser' variable=PARLEY_BROWSER package=chromium
required=${REQUIRE_BROWSER:-} setting=REQUIRE_BROWSER skipped='the browser test'

version_of() { "$1" --version 2>/dev/null; }

. "$(dirname "$0")/program.sh"
look_for chromium chromium-browser google-chrome google-chrome-stable \
	'/Applications/Chromium.app/Contents/MacOS/Chromium' \
	'/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
