#!/bin/bash
# Runs hub and edge, and Caddy before them, until either ends; any arguments are a command to run instead.
set -u
[ $# -eq 0 ] || exec "$@"

refuse() {
  echo "TOWONEL_HUB_PUBLIC_URL: $1" >&2
  exit 78
}

url=${TOWONEL_HUB_PUBLIC_URL:-}
[ -n "$url" ] || [ -z "${TOWONEL_HUB_PUBLIC_URL_FILE:-}" ] || url=$(<"$TOWONEL_HUB_PUBLIC_URL_FILE") ||
  refuse "its file cannot be read"
[ -n "$url" ] || refuse "must be set: the hub's own name, as in https://hub.example.eu"
[[ $url =~ ^https://([A-Za-z0-9.-]+)(:443)?/?$ ]] ||
  refuse "must be https:// and a name, as in https://hub.example.eu: Caddy serves the hub on port 443"
export HUB_HOST=${BASH_REMATCH[1]}

email=${TOWONEL_EDGE_TLS_ACME_EMAIL:-} # checked by the edge, too, but Caddy would read what else is in it
[[ -z $email || $email =~ ^[^[:space:]{}\"@]+@[^[:space:]{}\"@]+$ ]] || {
  echo "TOWONEL_EDGE_TLS_ACME_EMAIL: must be an address of mail, as in me@example.eu" >&2
  exit 78
}
[ -z "$email" ] || export CADDY_GLOBAL_OPTIONS="email $email
${CADDY_GLOBAL_OPTIONS:-}"

# Hub and edge drain first, for Caddy carries the clients of both; another signal ends them at once.
signalled=
trap 'signalled=1; kill -TERM "$towonel" 2>/dev/null' TERM INT HUP
towonel serve &
towonel=$!
caddy run --config /etc/caddy/Caddyfile --adapter caddyfile &
caddy=$!

# Sets `code`, and `ended` if that is the process that ended first: a signal interrupts the waiting.
ended=
until [ -n "$ended" ]; do
  wait -n -p ended "$towonel" "$caddy"
  code=$?
  ended=${ended:-}
done

if [ "$ended" = "$caddy" ]; then
  [ -n "$signalled" ] || echo "Caddy ended with $code: hub and edge are stopped" >&2
  kill -TERM "$towonel" 2>/dev/null
  # Until it has ended: each signal interrupts one wait.
  while kill -0 "$towonel" 2>/dev/null; do
    wait "$towonel"
    last=$?
  done
  [ -z "$signalled" ] || code=$last
else
  kill -TERM "$caddy" 2>/dev/null
  while kill -0 "$caddy" 2>/dev/null; do wait "$caddy"; done
fi
# One that ended by itself was to run for ever.
[ -n "$signalled" ] || [ "$code" -ne 0 ] || code=1
exit "$code"
