#!/bin/sh
# Takes plugin.wasm out of an OCI image, and the module for STARTTLS if it has one.
#
#   fetch.sh IMAGE DIRECTORY [SKOPEO OPTIONS...]
#
# IMAGE is as skopeo names it, docker://HOST/NAME:TAG or docker://HOST/NAME@DIGEST.
set -eu

image=$1
directory=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skopeo copy --quiet "$@" "$image" "dir:$work"
# The image has one layer; what is no layer is no archive either.
for file in "$work"/*; do
    for name in plugin.wasm libportcullis_starttls.so; do
        tar -xzf "$file" -C "$directory" "$name" 2>/dev/null || true
    done
done
[ -s "$directory/plugin.wasm" ] || {
    echo "fetch.sh: $image has no plugin.wasm" >&2
    exit 1
}
