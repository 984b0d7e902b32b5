#!/usr/bin/env bash
# Installs what a target of the Makefile needs on Debian 12 beside Swift, and is quick when all of it is there.
#
#   Tests/dependencies.sh build    headers of libevent and OpenSSL
#   Tests/dependencies.sh demo     build, and a plain FTP server and curl for `make demo`
#   Tests/dependencies.sh test     demo, and the FTP servers, FTP clients and linters of the tests
#   Tests/dependencies.sh kernel   test, and a kernel with what boots it for `make test-ktls`
#   Tests/dependencies.sh gate     build, and what counts system calls and instructions for `make bench-gate`
#   Tests/dependencies.sh bench    gate, and the relays and FTP servers that `make bench` compares with
#   Tests/dependencies.sh image    demo, and what makes and runs a container image where there is no Docker engine
#   Tests/dependencies.sh deb      demo, and what makes the Debian package and tries it
#
# Nothing is started: FTP servers are unpacked into .build/backends, since Debian lets only one of them be installed, and
# Python packages go into .build/venv.
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-test}
log=.build/dependencies.log
requirements=Tests/Interop/requirements.txt

build_packages=(ca-certificates libevent-dev libssl-dev pkg-config)
demo_packages=(curl openssl python3 python3-venv)
# The libraries are those of the unpacked servers.
test_packages=(
    gcc git iproute2 lftp libc6-dev netcat-openbsd procps shellcheck
    libcommons-net-java libio-socket-ssl-perl openjdk-17-jdk-headless rclone tcl tcllib
    filezilla xdotool xvfb
    libcap2 libhiredis0.14 libidn2-0 libmemcached11 libmemcachedutil2 libnss-wrapper libpcre2-posix3 libsodium23 libwrap0
)
kernel_packages=(busybox-static kmod qemu-system-x86)
gate_packages=(binutils gcc libc6-dev openssl python3 strace valgrind)
bench_packages=(haproxy hitch libnginx-mod-stream nginx-light stunnel4 libhiredis0.14 libmemcached11 libmemcachedutil2
    libpcre2-posix3 libsodium23 libsqlite3-0 libwrap0)
image_packages=(git buildah debootstrap podman podman-compose netavark aardvark-dns iptables runc iproute2 lftp)
deb_packages=(git debhelper lintian debootstrap systemd-container iproute2 procps)
servers=(inetutils-ftpd proftpd-core pure-ftpd pure-ftpd-common vsftpd)

fail() {
    echo "dependencies: $1" >&2
    [ ! -s "$log" ] || tail -n 15 "$log" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" >>"$log" 2>&1
}

# Once a run: lists that are too old name packages that are gone.
has_updated=
update_lists() {
    [ -n "$has_updated" ] || apt_get update || fail "apt-get update failed; is the network there?"
    has_updated=1
}

install_packages() {
    local missing=() package
    for package in "$@"; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "this needs Debian's packages: ${missing[*]}; install their like by hand."
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "run as root: apt-get install ${missing[*]}"
    fi
    echo "dependencies: installing ${missing[*]}"
    update_lists
    # Packages that bring a daemon must not start it; a file that is there already is the machine's own business.
    local policy=/usr/sbin/policy-rc.d had_policy=1
    if [ ! -e "$policy" ]; then
        had_policy=
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    apt_get install --no-install-recommends "${missing[@]}" || fail "apt-get install failed."
    [ -n "$had_policy" ] || as_root rm -f "$policy"
}

unpack_servers() {
    local package folder
    for package in "$@"; do
        folder=.build/backends/$package
        [ ! -d "$folder" ] || continue
        echo "dependencies: unpacking $package"
        update_lists
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        (cd "$folder.new" && apt-get -q -o Acquire::Retries=3 download "$package" && dpkg -x ./*.deb . && rm -f ./*.deb) \
            >>"$log" 2>&1 || fail "apt-get download $package failed."
        mv "$folder.new" "$folder"
    done
}

python_packages() {
    local python=python3
    [ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
    if [ ! -x .build/venv/bin/pip ]; then
        rm -rf .build/venv
        "$python" -m venv .build/venv >>"$log" 2>&1 || fail "$python -m venv failed."
    fi
    echo "dependencies: Python packages"
    .build/venv/bin/pip install --quiet --disable-pip-version-check "$@" >>"$log" 2>&1 || fail "pip install failed."
}

# The newest of Debian's kernels, of which nothing is installed.
unpack_kernel() {
    local package folder=.build/kernel/image version
    update_lists
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || fail "apt knows no linux-image-amd64: test-ktls needs Debian's kernel for amd64."
    [ ! -e "$folder/boot/vmlinuz-${package#linux-image-}" ] || return 0
    echo "dependencies: unpacking $package"
    rm -rf .build/kernel
    mkdir -p "$folder"
    (cd .build/kernel && apt-get -q -o Acquire::Retries=3 download "$package" && dpkg -x ./*.deb image && rm -f ./*.deb) \
        >>"$log" 2>&1 || fail "apt-get download $package failed."
    version=${package#linux-image-}
    /sbin/depmod -b "$folder" "$version" >>"$log" 2>&1 || fail "depmod $version failed."
}

scanner() {
    [ -x .build/scanner/bin/sslyze ] && .build/scanner/bin/pip freeze | grep -qix "$1" && return
    echo "dependencies: $1"
    rm -rf .build/scanner
    /usr/bin/python3 -m venv .build/scanner >>"$log" 2>&1 || fail "python3 -m venv failed."
    .build/scanner/bin/pip install --quiet --disable-pip-version-check "$1" >>"$log" 2>&1 || fail "pip install $1 failed."
}

mkdir -p .build
# Two makes at a time in one folder: the second finds all done.
exec 9>.build/dependencies.lock
flock 9
stamp=.build/dependencies-$level-$(cat "$0" "$requirements" | sha256sum | cut -c1-16)
[ ! -e "$stamp" ] || exit 0
: >"$log"

packages=("${build_packages[@]}")
case $level in
build) ;;
demo) packages+=("${demo_packages[@]}") ;;
test) packages+=("${demo_packages[@]}" "${test_packages[@]}") ;;
kernel) packages+=("${demo_packages[@]}" "${test_packages[@]}" "${kernel_packages[@]}") ;;
gate) packages+=("${gate_packages[@]}") ;;
bench) packages+=("${gate_packages[@]}" "${bench_packages[@]}") ;;
image) packages+=("${demo_packages[@]}" "${image_packages[@]}") ;;
deb) packages+=("${demo_packages[@]}" "${deb_packages[@]}") ;;
*) fail "unknown level '$level': build, demo, test, kernel, gate, bench, image or deb." ;;
esac
install_packages "${packages[@]}"
case $level in
build | gate | deb) ;;
bench) unpack_servers "${servers[@]}" proftpd-mod-crypto proftpd-mod-proxy ;;
demo | image) python_packages "$(grep '^pyftpdlib==' "$requirements")" ;;
test | kernel)
    unpack_servers "${servers[@]}"
    python_packages -r "$requirements"
    # Its needs contradict those of the others.
    scanner "sslyze==6.3.1"
    [ "$level" = test ] || unpack_kernel
    ;;
esac
touch "$stamp"
