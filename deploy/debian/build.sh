#!/usr/bin/env bash
# Makes the Debian package: .build/deb/ftpsgate_VERSION_ARCHITECTURE.deb
#
#   deploy/debian/build.sh
#
# FTPSGATE_DEB_VERSION names another version, and FTPSGATE_BINARY a program that is built already (with
# --static-swift-stdlib).
set -euo pipefail
cd "$(dirname "$0")/../.."

work=.build/deb
version=${FTPSGATE_DEB_VERSION:-$(sed -n 's/.*number = "\([^"]*\)".*/\1/p' Sources/ftpsgate/Version.swift)}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

missing=()
for tool in dpkg-buildpackage dh; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
    echo "deb: skipped: this needs Debian's packages dpkg-dev and debhelper (${missing[*]} not found)" >&2
    exit 77
fi

binary=${FTPSGATE_BINARY:-}
if [ -z "$binary" ]; then
    ${SWIFT:-swift} build -c release --static-swift-stdlib --scratch-path .build/static --product ftpsgate
    binary=.build/static/release/ftpsgate
fi

tree=$work/tree
rm -rf "$tree" "$work"/ftpsgate_"${version}"_*
mkdir -p "$tree/built/completions" "$tree/etc"
cp -r deploy/debian "$tree/debian"
rm -f "$tree/debian/build.sh" "$tree"/debian/*.py
mv "$tree/debian/ftpsgate.conf" "$tree/etc/"
cp deploy/systemd/ftpsgate.service "$tree/debian/ftpsgate.service"
cp deploy/systemd/ftpsgate.socket "$tree/debian/ftpsgate.socket"
cp deploy/systemd/ftpsgate-implicit.socket "$tree/debian/ftpsgate.ftpsgate-implicit.socket"
cp README.md deploy/OPERATIONS.md deploy/CHANGELOG.md "$tree/"
cp "$binary" "$tree/built/ftpsgate"
deploy/manual.py "$tree/built/ftpsgate" "$tree/built/man"
"$tree/built/ftpsgate" --generate-completion-script bash | sed '1{/^#!/d}' >"$tree/built/completions/ftpsgate"
"$tree/built/ftpsgate" --generate-completion-script zsh >"$tree/built/completions/_ftpsgate"
"$tree/built/ftpsgate" --generate-completion-script fish >"$tree/built/completions/ftpsgate.fish"
cat >"$tree/debian/changelog" <<END
ftpsgate ($version) bookworm; urgency=medium

  * See /usr/share/doc/ftpsgate/CHANGELOG.md.gz.

 -- The ftpsgate developers <maintainers@ftpsgate.example>  $(date -R -d "@$SOURCE_DATE_EPOCH")
END

(cd "$tree" && DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -b -us -uc) >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; exit 1; }
package=$(ls "$work/ftpsgate_${version}_"*.deb)
echo "deb: $package, $(stat -c %s "$package" | numfmt --to=si)B"
if command -v lintian >/dev/null; then
    lintian --fail-on error --suppress-tags bad-distribution-in-changes-file,initial-upload-closes-no-bugs "$package"
fi
