#!/usr/bin/env bash
# What the scripts beside this one share: which container engine there is, and where images live. To be sourced from the
# project's folder.

work=.build/image
mkdir -p "$work"

has_docker() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

# Names what is missing and ends with 77, which `make` shows as "skipped".
require() {
    local missing=() tool
    for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
    [ "$(id -u)" = 0 ] || missing+=("root")
    [ ${#missing[@]} = 0 ] && return
    echo "image: skipped: there is no Docker engine here, and without one this needs: ${missing[*]}" >&2
    exit 77
}

image_size() {
    if has_docker; then
        docker image inspect --format '{{.Size}}' "$1:latest"
    else
        buildah inspect --type image --format '{{.FromImageID}}' "localhost/$1:latest" >/dev/null
        podman image inspect --format '{{.Size}}' "localhost/$1:latest"
    fi
}

if ! has_docker; then
    # Everything in one folder of ours, as the one in /etc may want a service manager, or limits that we may not set.
    cat >"$work/storage.conf" <<END
[storage]
driver = "${FTPSGATE_STORAGE_DRIVER:-overlay}"
graphroot = "$PWD/$work/store"
runroot = "$PWD/$work/run"
END
    cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=4096:8192", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "$PWD/$work/networks"
END
    export CONTAINERS_STORAGE_CONF=$PWD/$work/storage.conf CONTAINERS_CONF=$PWD/$work/containers.conf
fi
