#!/usr/bin/env bash
# Builds an image of the Dockerfile where no container engine runs: as root, with Debian's packages buildah and debootstrap.
#
#   deploy/build-with-buildah.sh [TARGET]      TARGET is cpu, the default, or gpu
#
# Without PYTHON_IMAGE the image stands on a Debian that is made here; with it, on that image, if buildah can fetch it.
# Variables, all optional:
#   STORAGE         folder for images and the Debian, a few gigabytes; /var/tmp/rnnserve-images
#   STORAGE_DRIVER  vfs, which works everywhere; overlay is faster
#   PYTHON_IMAGE    the Dockerfile's argument
#   IMAGE           name of the result; rnnserve:TARGET
#   DEBIAN_SUITE    bookworm
#   DEBIAN_MIRROR   address of the packages; debootstrap's own
#   BUILD_VOLUMES   HOST:CONTAINER:ro, by blanks: what only this machine has and the build needs, such as
#                   certificates and pip's configuration. Not in the image.
#   EXTRAS, REVISION, VERSION    the Dockerfile's arguments
# The name of the image is the last line of the output. `buildah --storage-driver vfs --root "$STORAGE/root"
# --runroot "$STORAGE/run" push IMAGE docker-archive:FILE:IMAGE` writes it to a file that `docker load` reads.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-cpu}
storage=${STORAGE:-/var/tmp/rnnserve-images}
image=${IMAGE:-rnnserve:$target}
suite=${DEBIAN_SUITE:-bookworm}
driver=${STORAGE_DRIVER:-vfs}

# A chroot is all the isolation that a build needs, and works inside of a container too.
export BUILDAH_ISOLATION=chroot
for program in buildah $([[ -n ${PYTHON_IMAGE:-} ]] || echo debootstrap); do
    command -v "$program" >/dev/null || { echo "$program is missing (Debian: apt install $program)" >&2; exit 1; }
done
mkdir -p "$storage"
in_storage() { buildah --storage-driver "$driver" --root "$storage/root" --runroot "$storage/run" "$@"; }

make_debian() {
    local root=$storage/debian container
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2
    rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    container=$(in_storage from scratch)
    in_storage add --quiet "$container" "$root" / >&2
    in_storage commit --quiet --rm "$container" "$1" >&2
    rm -rf "$root"
}

base=${PYTHON_IMAGE:-}
if [[ -z $base ]]; then
    base=localhost/rnnserve-python:$suite
    in_storage inspect --type image "$base" >/dev/null 2>&1 || make_debian "$base"
fi

options=(--build-arg "PYTHON_IMAGE=$base")
for name in EXTRAS REVISION VERSION; do
    [[ -z ${!name:-} ]] || options+=(--build-arg "$name=${!name}")
done
for volume in ${BUILD_VOLUMES:-}; do
    options+=(--volume "$volume")
done
# --network host: the build sees the network as this machine does. --format docker: the OCI format has no health check.
in_storage bud --network host --format docker --pull-never --target "$target" --tag "$image" "${options[@]}" . >&2
echo "$image"
