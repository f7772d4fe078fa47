#!/bin/sh
# Starts the stand of compose.yaml, waits until all of it answers, and says where it is.
set -eu
cd "$(dirname "$0")/../.."

docker compose version >/dev/null 2>&1 || { echo "stand: needs Docker with Compose (docker compose)" >&2; exit 1; }
# The profile's services by name: parley, which has no profile, is not needed.
docker compose up --detach --build --wait proxy prometheus grafana

# answers waits until a service answers at a URL.
answers() {
	tries=0
	until curl -fs -m 5 -o /dev/null "$2"; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || { echo "stand: $1 does not answer at $2; see: docker compose logs $1" >&2; exit 1; }
		sleep 1
	done
}
answers proxy http://localhost:8080/readyz
answers jaeger http://localhost:16686/
answers prometheus http://localhost:9090/-/ready
answers grafana http://localhost:3000/api/health

cat <<'TEXT'
The stand is up: two instances of Parley, a proxy, Redis, the emulated agent, and who watches them.
  page        http://localhost:8080/try
  API         http://localhost:8080/api/chat/start
  Grafana     http://localhost:3000/d/parley
  Jaeger      http://localhost:16686/search?service=parley
  Prometheus  http://localhost:9090/alerts
make stand-outage takes Redis away for 20 s; make stand-down ends the stand, and with it what was stored.
TEXT
