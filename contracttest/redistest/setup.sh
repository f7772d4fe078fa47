#!/bin/sh
# Makes sure that the Redis tests can have their container: a Docker engine that
# answers, and an image. Says each step on stderr and prints on stdout what the
# tests need in their environment, to be evaluated by the caller:
#
#   env=$(contracttest/redistest/setup.sh) && eval "$env" && go test ./...
#
# On a machine with Docker and a registry it pulls the image and does no more.
# On a Debian-like system, as root, it installs and starts the engine, and
# without a registry it makes an image from the distribution's redis-server.
# Where neither is possible it says what is missing; the tests then skip, or,
# with REQUIRE_DOCKER=1, this script fails.
#
# `setup.sh image` and `setup.sh ryuk` print an image's name and do nothing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tmp=${TMPDIR:-/tmp}
tmp=${tmp%/}

image=$(sed -n 's/^const Image = "\(.*\)"$/\1/p' "$here/image.go")
ryuk=testcontainers/ryuk:0.14.0 # testcontainers' own; a test holds it to the version in go.mod
local_image=parley-redis:local
engine_log=$tmp/parley-dockerd.log
pull_seconds=60
start_seconds=60

say() { printf 'setup: %s\n' "$*" >&2; }

# give_up ends the script: the tests will skip, unless that is forbidden.
give_up() {
	say "$*"
	case ${REQUIRE_DOCKER:-} in
	'' | 0 | f | F | false | FALSE | False)
		say "going on without: the Redis tests will be skipped"
		exit 0
		;;
	esac
	say "REQUIRE_DOCKER is set: giving up"
	exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# bounded runs a command for at most so many seconds. macOS has no timeout(1).
bounded() {
	seconds=$1
	shift
	if has timeout; then
		timeout "$seconds" "$@"
		return
	fi
	"$@" &
	command_pid=$!
	(sleep "$seconds" && kill "$command_pid") >/dev/null 2>&1 &
	watch_pid=$!
	code=0
	wait "$command_pid" || code=$?
	kill "$watch_pid" 2>/dev/null || true
	return "$code"
}

may_install() { has apt-get && has dpkg && [ "$(id -u)" = 0 ]; }

# apt runs apt-get and, if that fails, once more with fresh package lists: a
# bare machine has none or stale ones.
apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >&2 && return
	say "fetching the package lists"
	apt-get -q update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >&2
}

engine_answers() { has docker && bounded 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# start_engine starts dockerd with the given flags so that it outlives this
# script and the make that called it, and waits until it answers or ends.
start_engine() {
	say "starting dockerd${*:+ $*} (log: $engine_log)"
	setsid nohup dockerd "$@" >"$engine_log" 2>&1 </dev/null &
	engine_pid=$!
	while [ "$(date +%s)" -lt "$deadline" ]; do
		engine_answers && return 0
		kill -0 "$engine_pid" 2>/dev/null || return 1
		sleep 0.3
	done
	return 1
}

need_engine() {
	if engine_answers; then
		say "the Docker engine answers"
		return
	fi
	if [ -n "${DOCKER_HOST:-}" ]; then
		give_up "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST"
	fi
	if ! may_install; then
		give_up "no Docker engine answers. Start it, or install Docker; this script can do that only as root on a Debian-like system"
	fi
	if ! has dockerd; then
		say "no Docker engine here: installing docker.io"
		apt install --no-install-recommends docker.io || give_up "docker.io cannot be installed"
	fi
	if ! has docker; then
		say "no docker command here: installing docker-cli" # its own package since Debian 13
		apt install --no-install-recommends docker-cli || give_up "docker-cli cannot be installed"
	fi
	deadline=$(($(date +%s) + start_seconds))
	# Under an init system the package has started the engine, or that can.
	if [ -d /run/systemd/system ]; then
		say "starting the docker service"
		systemctl start docker >&2 || true
	fi
	if engine_answers; then
		say "the Docker engine answers"
		return
	fi
	flags=
	for attempt in 1 2 3; do
		# shellcheck disable=SC2086 # flags are words
		if start_engine $flags; then
			say "the Docker engine answers"
			return
		fi
		# What stopped it decides what to try next.
		if grep -qi 'iptables' "$engine_log" && has iptables-legacy && [ ! -e "$tmp/parley-iptables/iptables" ]; then
			# For this engine only: the system's choice of iptables stays.
			say "dockerd could not use iptables: trying iptables-legacy"
			mkdir -p "$tmp/parley-iptables"
			ln -sf "$(command -v iptables-legacy)" "$tmp/parley-iptables/iptables"
			ln -sf "$(command -v ip6tables-legacy)" "$tmp/parley-iptables/ip6tables"
			PATH=$tmp/parley-iptables:$PATH
		else
			say "dockerd did not come up: trying the storage driver that works everywhere"
			flags=--storage-driver=vfs
		fi
	done
	tail -n 5 "$engine_log" >&2
	give_up "dockerd did not come up in $attempt attempts; its log is $engine_log"
}

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
	say "pulling $1 (at most $pull_seconds s)"
	bounded "$pull_seconds" docker pull -q "$1" >/dev/null
}

# redis_package is the version of the package that holds the redis-server
# binary: the installed one, else the one that would be installed.
redis_package() {
	if has redis-server; then
		dpkg-query -W -f '${Version}' redis-tools 2>/dev/null && return
	fi
	apt-cache policy redis-tools 2>/dev/null | sed -n 's/^ *Candidate: *//p'
}

# unpack_redis puts the redis-server binary and the libraries this system lacks
# below the given directory. Nothing is installed, so no service starts here.
unpack_redis() {
	if has redis-server; then
		mkdir -p "$1/usr/bin"
		cp -L "$(command -v redis-server)" "$1/usr/bin/redis-server"
		return
	fi
	say "fetching the packages of redis-server"
	# Fetched as root: apt's own user may not enter a directory made by mktemp.
	mkdir -p "$1/debs/partial"
	apt install --no-install-recommends --download-only -o APT::Sandbox::User=root -o "Dir::Cache::archives=$1/debs" redis-server || return 1
	for deb in "$1"/debs/*.deb; do
		dpkg-deb -x "$deb" "$1" || return 1
	done
}

# build_image makes an image of redis-server, its libraries and the loader,
# and nothing else: no shell, no package manager.
build_image() {
	work=$(mktemp -d "$tmp/parley-redis.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	unpack_redis "$work/from" || return 1
	server=$work/from/usr/bin/redis-server
	libs=$(find "$work/from" -name '*.so*' -exec dirname {} \; | sort -u | tr '\n' ':')
	mkdir -p "$work/root/usr/bin" "$work/root/lib" "$work/root/data" || return 1
	cp -L "$server" "$work/root/usr/bin/redis-server" || return 1
	needed=$(LD_LIBRARY_PATH=$libs ldd "$server") || return 1
	case $needed in *'not found'*)
		say "libraries are missing: $needed"
		return 1
		;;
	esac
	# "libm.so.6 => /lib/…/libm.so.6 (0x…)" is a library, wherever it came from;
	# "/lib64/ld-linux….so.2 (0x…)" is the loader, which must keep its path.
	for lib in $(printf '%s\n' "$needed" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'); do
		cp -L "$lib" "$work/root/lib/" || return 1
	done
	for loader in $(printf '%s\n' "$needed" | awk '$1 ~ /^\// { print $1 }'); do
		mkdir -p "$work/root$(dirname "$loader")" || return 1
		cp -L "$loader" "$work/root$loader" || return 1
	done
	chmod 755 "$work/root"
	tar -C "$work/root" -c . | docker import \
		--change 'ENTRYPOINT ["/usr/bin/redis-server"]' \
		--change 'ENV LD_LIBRARY_PATH=/lib' \
		--change 'WORKDIR /data' \
		--change 'EXPOSE 6379' \
		--change "LABEL parley.built-from=\"$1\"" \
		- "$local_image" >/dev/null || return 1
	version=$(docker run --rm "$local_image" --version) || return 1
	say "built $local_image: $version"
}

# need_image sets image to one that is here.
need_image() {
	if [ -n "${PARLEY_REDIS_IMAGE:-}" ]; then
		image=$PARLEY_REDIS_IMAGE
		if [ "$image" != "$local_image" ]; then
			have_image "$image" || pull "$image" || give_up "the image $image (PARLEY_REDIS_IMAGE) is not here and cannot be pulled"
			say "using the image $image, as PARLEY_REDIS_IMAGE asks"
			return
		fi
	elif have_image "$image"; then
		say "the image $image is here"
		return
	fi
	# Made earlier, and from what this system would make it from again: by
	# package version and by this script, so that a change to either rebuilds.
	from="$(redis_package) $(cksum <"$0" | cut -d ' ' -f 1)"
	if have_image "$local_image" &&
		[ "$(docker image inspect -f '{{index .Config.Labels "parley.built-from"}}' "$local_image")" = "$from" ]; then
		say "the image $local_image is here and current; remove it to have the registry tried again"
		image=$local_image
		return
	fi
	if [ "$image" != "$local_image" ] && pull "$image"; then
		return
	fi
	if ! may_install; then
		give_up "the image $image cannot be pulled, and only root on a Debian-like system can make one here"
	fi
	say "no registry: making $local_image from the distribution's redis-server"
	if [ -z "$(redis_package)" ]; then
		say "fetching the package lists"
		apt-get -q update >&2 || true
		from="$(redis_package) $(cksum <"$0" | cut -d ' ' -f 1)"
	fi
	build_image "$from" || give_up "the image $local_image cannot be made"
	image=$local_image
}

# engine_is_inside reports whether this is a container that runs its own
# engine; one that was handed the socket of its host looks much the same.
engine_is_inside() {
	[ -e /.dockerenv ] && [ -z "${DOCKER_HOST:-}" ] &&
		[ "$(cat "/proc/$(cat /var/run/docker.pid 2>/dev/null)/comm" 2>/dev/null)" = dockerd ]
}

case ${1:-} in
image)
	echo "$image"
	exit
	;;
ryuk)
	echo "$ryuk"
	exit
	;;
esac

need_engine
need_image
echo "export PARLEY_REDIS_IMAGE=$image"
if engine_is_inside; then
	# testcontainers takes any container for one beside its siblings and looks
	# for published ports at the gateway; these are on this side of it.
	echo "export TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1"
fi
# Ryuk ends the containers of a killed test run. Where its image cannot be had
# testcontainers would fail every start, so there it is `make clean` instead.
if [ -z "${TESTCONTAINERS_RYUK_DISABLED:-}" ] && ! have_image "$ryuk"; then
	if [ "$image" = "$local_image" ] || ! pull "$ryuk"; then
		say "without Ryuk: \`make clean\` ends what a killed test run leaves"
		echo "export TESTCONTAINERS_RYUK_DISABLED=true"
	fi
fi
