#!/bin/bash
# The guard's preStop hook: waits until the last mail is through, at most so many seconds, before
# Kubernetes ends Envoy.
#
#   drain.sh SECONDS
#
# New sessions are still served, since the load balancer takes a while to learn that none should
# come; /ready says no from now on. Only what bash has itself is used: there is no curl in Envoy's
# image.
set -u

patience=${1:?usage: drain.sh SECONDS}
# For so long nothing is ended even if there are no sessions: others learn meanwhile.
settle=${PORTCULLIS_DRAIN_SETTLE:-10}

# admin METHOD PATH: what Envoy's administration interface answers.
admin() {
    exec 3<>"/dev/tcp/${PORTCULLIS_ADMIN:-127.0.0.1}/9901" || return 1
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
    exec 3>&-
}

# sessions: how many mail clients are connected, on both listeners.
sessions() {
    local all=0 count
    while read -r count; do
        all=$((all + count))
    done < <(admin GET '/stats?filter=^listener\..*_252[56]\.downstream_cx_active' |
        tr -d '\r' | sed -n 's/^listener\..*downstream_cx_active: \([0-9]*\)$/\1/p')
    echo "$all"
}

admin POST /healthcheck/fail >/dev/null || exit 0
SECONDS=0
while [ "$SECONDS" -lt "$patience" ]; do
    [ "$SECONDS" -lt "$settle" ] || [ "$(sessions)" -gt 0 ] || exit 0
    sleep 1
done
