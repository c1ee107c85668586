# Shared by the set-up scripts; sourced, never run.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
STEP=$(basename "$0")
export ROOT CACHE TARGET

# say TEXT: one line of what is being done.
say() { printf 'setup %s: %s\n' "$STEP" "$1" >&2; }

# die WHAT MEND: stop, with what to do about it.
die() {
    printf 'setup %s: %s\n  mend: %s\n' "$STEP" "$1" "$2" >&2
    exit 1
}

# lock NAME: one process at a time past this line, for as long as this script
# runs, however many makes share the cache.
lock() {
    mkdir -p "$CACHE/locks"
    exec 9>"$CACHE/locks/$1"
    flock -n 9 && return
    say "waiting for another $1 step"
    flock -w 1800 9 || die "the lock $CACHE/locks/$1 was not free within 30 minutes" \
        "see who holds it with 'fuser $CACHE/locks/$1'"
}

# version_at_least HAVE WANT: compares dotted versions.
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# wanted_rust: the rust-version the workspace declares.
wanted_rust() {
    sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml"
}

# new_venv DIR: an empty virtual environment, with pip.
new_venv() {
    command -v python3 >/dev/null || die "no python3 on the path" "apt-get install python3 python3-venv"
    python3 -c 'import ensurepip, venv' 2>/dev/null || "$ROOT/scripts/setup/packages" python3-venv
    rm -rf "$1"
    python3 -m venv "$1" 9>&- || die "python3 could not make a virtual environment in $1" \
        "try 'python3 -m venv $1' and see what it misses"
}
