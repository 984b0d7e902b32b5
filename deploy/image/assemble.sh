#!/usr/bin/env bash
# Builds ftpsgate in the builder stage and lays out the image's files: the program, the shared libraries that it needs, and what
# a system without anything else must have.
#
#   deploy/image/assemble.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$1
user=65532

swift build -c release --static-swift-stdlib --product ftpsgate
binary=$(swift build -c release --static-swift-stdlib --show-bin-path)/ftpsgate

# As Debian has it: /lib and /lib64 are links into /usr, so that the files may also go on top of a Debian image.
mkdir -p "$root"/{etc,usr/bin,usr/lib,usr/lib64,tmp,var/lib/dpkg/status.d}
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
chmod 1777 "$root/tmp"
strip -o "$root/usr/bin/ftpsgate" "$binary"

# Scanners find the libraries' versions here, as in other images without a package manager.
note_package() {
    local file=$1 package
    package=$(dpkg-query -S "$file" "/usr$file" 2>/dev/null | head -n 1 | sed 's/: .*//; s/,.*//') || true
    [ -n "$package" ] || { echo "assemble: no package has $file" >&2; exit 1; }
    dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/${package%%:*}"
    mkdir -p "$root/usr/share/doc/${package%%:*}"
    cp "/usr/share/doc/${package%%:*}/copyright" "$root/usr/share/doc/${package%%:*}/"
}

libraries=$(ldd "$binary" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }')
for library in $libraries; do
    target=$library
    [[ $target == /usr/* ]] || target=/usr$target
    mkdir -p "$root$(dirname "$target")"
    cp -L "$library" "$root$target"
    note_package "$library"
done

printf 'root:x:0:0:root:/:/nonexistent\nnonroot:x:%s:%s:ftpsgate:/nonexistent:/nonexistent\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:%s:\n' $user >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
install -d -o $user -g $user -m 700 "$root/var/lib/ftpsgate"

# The loader finds everything among these files.
loader=$(ldd "$binary" | awk '$1 ~ /^\// { print $1 }')
chroot "$root" "$loader" --list /usr/bin/ftpsgate
