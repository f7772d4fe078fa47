# Shared by the scripts that make sure of a program for tests. Each says its steps on
# stderr and prints on stdout what the tests need in their environment, to be evaluated
# by the caller. It sets
#
#   what      the program in words, as in "no $what here"
#   variable  where its path is told, and may be given
#   package   of a Debian-like system that has it
#   setting   the name of what forbids to go on without the program, and required its value
#   skipped   what is not tried without it
#
# and defines version_of PATH, which prints the version of a program that will do, and
# fails for any other.

say() { printf 'setup: %s\n' "$*" >&2; }

# use ends the script with the first of these programs that will do.
use() {
	for program in "$@"; do
		path=$(command -v "$program") || continue
		version=$(version_of "$path") || continue
		say "$what is $path: $version"
		echo "export $variable='$path'"
		exit
	done
}

# give_up ends the script: the test will skip, unless that is forbidden.
give_up() {
	say "$*"
	case $required in
	'' | 0 | f | F | false | FALSE | False)
		say "going on without: $skipped will be skipped"
		echo "unset $variable"
		exit 0
		;;
	esac
	say "$setting is set: giving up"
	exit 1
}

# look_for ends the script with the program that was given, one of these, or one that it
# installs as root on a Debian-like system.
look_for() {
	eval "given=\${$variable:-}"
	if [ -n "$given" ]; then
		use "$given"
		give_up "$variable=$given will not do: it has to be $what"
	fi
	use "$@"
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
		give_up "$what is not here. Install it, or name one in $variable; this script can install it only as root on a Debian-like system"
	fi
	say "$what is not here: installing $package"
	install || {
		say "fetching the package lists"
		apt-get -q update >&2 && install
	} || give_up "$package cannot be installed"
	use "$@"
	give_up "$package was installed and will not do"
}

install() { DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$package" >&2; }
