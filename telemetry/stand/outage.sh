#!/bin/sh
# Takes Redis away from the running stand for 20 s while requests are made, and says where
# to look for what became of them.
set -eu
cd "$(dirname "$0")/../.."

api=http://localhost:8080
answer=$(mktemp)
back() { docker compose start redis >/dev/null 2>&1 || true; }
trap 'back; rm -f "$answer"' EXIT
trap 'exit 1' INT TERM

# post sends a body to a route, keeps the answer and prints its status; 000 for none.
post() { curl -s -m 20 -o "$answer" -w '%{http_code}' -H 'Content-Type: application/json' -d "$2" "$api$1" || true; }
# field prints a text of the answer.
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" "$answer"; }
# say sends a turn, and prints the status and class where they are others than before.
say() {
	status=$(post /api/chat/send "{\"conversationId\":\"$conversation\",\"text\":\"hello\"}")
	class=$([ "$status" = 200 ] || field class)
	[ "$status $class" = "$seen" ] || echo "  $(date +%T)  $status $class"
	seen="$status $class"
}

status=$(post /api/chat/start '{}')
[ "$status" = 200 ] || { echo "outage: $api answered $status; is the stand up (make stand)?" >&2; exit 1; }
conversation=$(field conversationId)
seen= trace= failed=
say

echo "Redis is stopped for 20 s:"
docker compose stop --timeout 2 redis >/dev/null 2>&1
end=$(($(date +%s) + 20))
while [ "$(date +%s)" -lt "$end" ]; do
	say
	[ -n "$trace" ] || [ -z "$class" ] || { trace=$(field traceId) failed=$class; }
	sleep 0.3
done
[ -n "$trace" ] || { echo "outage: no request failed" >&2; exit 1; }

echo "Redis is started:"
back
began=$(date +%s)
until [ "$status" = 200 ]; do
	[ "$(date +%s)" -lt $((began + 60)) ] || { echo "outage: still $status after 60 s" >&2; exit 1; }
	say
	sleep 0.3
done
echo "  The conversation from before goes on."

cat <<TEXT
Where to look:
  the first failure  http://localhost:16686/trace/$trace
                     its span of Redis has error.type=$failed
  all of that class  http://localhost:16686/search?service=parley&tags=%7B%22error.type%22%3A%22$failed%22%7D
  the alert          http://localhost:9090/alerts has ParleyBudgetBurnsFast with owner=redis within two minutes
  the dashboard      http://localhost:3000/d/parley?from=now-15m
  what it means      telemetry/README.md#$failed
  the page           $api/try
TEXT
