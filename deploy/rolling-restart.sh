#!/bin/sh
# Restarts the replicas of scale.conf one after the other, each when HAProxy holds both for ready.
# SCALE_CONF: another file in place of scale.conf; LB_STATUS: as there.
set -eu

configuration=${SCALE_CONF:-$(dirname "$0")/scale.conf}

until_both_are_up() {
    left=600
    # Each replica is in two lists.
    until [ "$(curl -fs "http://${LB_STATUS:-127.0.0.1:8404}/metrics" |
        grep -c '^haproxy_server_status{.*state="UP"} 1')" = 4 ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "the load balancer does not find both replicas ready" >&2; exit 1; }
        sleep 0.2
    done
}

for number in 1 2; do
    until_both_are_up
    supervisorctl -c "$configuration" restart "replica:replica-$number"
done
until_both_are_up
echo "both replicas were restarted"
