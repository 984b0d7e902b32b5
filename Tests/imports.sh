#!/usr/bin/env bash
# Checks the import graph: each module imports what its row names and nothing else, so that a layer can be understood without
# those above it, C stays behind its wrapper, and what parses strangers' bytes has no I/O and no unsafe code.
set -euo pipefail
cd "$(dirname "$0")/../Sources"

# Module: what it may import, beside Synchronization.
graph='
Wire
FTPProtocol  Wire
FTPSession   FTPProtocol Wire
NetIO        CLibevent CLinux Glibc Wire
PKI          COpenSSL Glibc Wire
TLS          PKI COpenSSL Glibc Wire
System       CLinux Glibc Wire
Telemetry    Logging Glibc Wire
Gateway      FTPSession FTPProtocol NetIO TLS PKI System Telemetry Wire
Admin        NetIO Telemetry Wire
ftpsgate     Gateway Admin FTPSession FTPProtocol NetIO TLS PKI System Telemetry Wire ArgumentParser Logging Glibc
'
failed=
problem() {
    echo "imports: $1"
    failed=1
}

for module in */; do
    module=${module%/}
    [ -n "$(find "$module" -name '*.swift' -print -quit)" ] || continue
    if ! row=$(grep -E "^$module( |$)" <<<"$graph"); then
        problem "module $module has no row in Tests/imports.sh"
        continue
    fi
    allowed=" ${row#"$module"} Synchronization "
    while IFS=: read -r file line text; do
        imported=$(sed -E 's/^.*import +((struct|class|enum|protocol|func|typealias|let|var) +)?([A-Za-z_]+).*/\3/' <<<"$text")
        [[ " ${allowed//  / } " == *" $imported "* ]] || problem "$file:$line: $module may not import $imported"
    done < <(grep -rnE '^ *(@[A-Za-z_()]+ +)*((public|package|internal|fileprivate|private) +)?import ' --include='*.swift' "$module" || true)
done

unsafe=$(grep -rnE '\bunsafe\b|Unsafe(Mutable)?(Raw)?(Buffer)?Pointer|withUnsafe' --include='*.swift' Wire FTPProtocol FTPSession || true)
[ -z "$unsafe" ] || problem "unsafe code in a pure module:
$unsafe"

[ -z "$failed" ] || exit 1
