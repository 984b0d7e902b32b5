#!/usr/bin/env bash
# Builds the container image ftpsgate:latest from deploy/Dockerfile, and the image ftpsgate-vsftpd of the plain server in
# compose.yaml, and prints their sizes.
#
# With a Docker engine it is a plain `docker build`. Without one, buildah builds the same Dockerfiles, and no registry is needed:
# the base images are made from Debian's packages (debootstrap), and this machine's Swift toolchain is lent to the builder.
# Images then live in .build/image/store; . deploy/image/engine.sh shows podman the way there.
#
#   deploy/image/build.sh [ftpsgate|vsftpd]...     both without a name
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/image/engine.sh

limit=60000000
version=$(sed -n 's/.*number = "\([^"]*\)".*/\1/p' Sources/ftpsgate/Version.swift)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
created=$(date -u +%Y-%m-%dT%H:%M:%SZ)
labels=(--build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created")

# A Debian root folder with some packages, as a local image.
base_image() {
    local name=$1 packages=$2 root=$work/rootfs-$1 mirror container mount
    ! buildah inspect --type image "localhost/$name:bookworm" >/dev/null 2>&1 || return 0
    echo "image: making the base image $name from Debian's packages"
    rm -rf "$root"
    mirror=$(debian_mirror)
    debootstrap --variant=minbase ${packages:+--include="$packages"} bookworm "$root" "$mirror" >"$work/$name.log" 2>&1 \
        || { tail -n 5 "$work/$name.log" >&2; echo "image: debootstrap failed; see $work/$name.log" >&2; exit 1; }
    container=$(buildah from scratch)
    mount=$(buildah mount "$container")
    cp -a "$root/." "$mount/"
    buildah umount "$container" >/dev/null
    buildah config --env PATH=/usr/local/swift/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" "localhost/$name:bookworm" >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf "$root"
}

# Where this machine's apt gets Debian from.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 2>/dev/null | awk '$2 == "bookworm" { print $1; exit }')
    [ -n "$mirror" ] || { echo "image: apt knows no mirror of Debian 12: run apt-get update" >&2; return 1; }
    echo "$mirror"
}

build_ftpsgate() {
    if has_docker; then
        docker build -f deploy/Dockerfile "${labels[@]}" -t ftpsgate:latest .
    else
        require buildah debootstrap swift
        local toolchain
        toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")
        base_image ftpsgate-builder "ca-certificates,git,binutils,libc6-dev,libgcc-12-dev,libstdc++-12-dev,pkg-config,libevent-dev,libssl-dev,libcurl4,libxml2,libsqlite3-0,zlib1g-dev,libncurses6,libedit2"
        # Packages that Package.swift names are fetched here, since the builder may have no network.
        swift package resolve --scratch-path "$work/packages" >/dev/null
        buildah bud --layers --isolation chroot --pull-never --format docker --ignorefile deploy/Dockerfile.dockerignore \
            --build-arg BUILDER=localhost/ftpsgate-builder:bookworm "${labels[@]}" \
            -v "$toolchain:/usr/local/swift:ro" -v "$PWD/$work/packages:/src/.build" \
            -f deploy/Dockerfile -t localhost/ftpsgate:latest .
    fi
    local size
    size=$(image_size ftpsgate)
    echo "image: ftpsgate:latest ($version) has $((size / 1000000)).$((size / 100000 % 10)) MB, of at most $((limit / 1000000))"
    [ "$size" -le $limit ] || { echo "image: it is larger than it may be." >&2; exit 1; }
}

build_vsftpd() {
    if has_docker; then
        docker build -t ftpsgate-vsftpd:latest deploy/vsftpd
    else
        require buildah debootstrap
        base_image ftpsgate-debian ""
        buildah bud --layers --isolation chroot --pull-never --format docker --build-arg BASE=localhost/ftpsgate-debian:bookworm \
            -t localhost/ftpsgate-vsftpd:latest deploy/vsftpd
    fi
    echo "image: ftpsgate-vsftpd:latest has $(($(image_size ftpsgate-vsftpd) / 1000000)) MB"
}

for name in "${@:-ftpsgate}"; do "build_$name"; done
