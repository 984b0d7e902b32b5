#!/usr/bin/env bash
# Coverage-guided fuzzing (libFuzzer, AddressSanitizer) of everything that reads strangers' bytes on the control connection, and
# of the relay between two connections in any weather.
#
#   Tests/Fuzz/run.sh                    every target for SECONDS_EACH seconds (10)
#   Tests/Fuzz/run.sh Replies Sessions   some of them
#
# A target is one Swift file here; what it found useful before is in corpora/NAME, and what it finds now goes to
# .build/fuzz/corpus/NAME. An input that breaks something is kept as .build/fuzz/NAME-crash-…: give it a unit test, then a cure.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${SECONDS_EACH:-10}
# Swift's own report of a crash stands in the sanitizer's way.
export SWIFT_BACKTRACE=enable=no
out=.build/fuzz
modules=$out/modules
mkdir -p "$modules"

swiftc=(
    "${SWIFTC:-swiftc}" -O -swift-version 6 -parse-as-library -enable-testing "-sanitize=fuzzer,address" -I "$modules"
    -package-name ftpsgate -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature MemberImportVisibility
)

# A module on its own, as in the package; its object joins those that targets are linked with.
objects=()
module() {
    local name=$1 object=$modules/$1.o newest
    shift
    objects+=("$object")
    newest=$(find "$@" "$0" -newer "$object" 2>/dev/null | head -n 1 || true)
    [ -e "$object" ] && [ -z "$newest" ] && return
    "${swiftc[@]}" -wmo -module-name "$name" -emit-module -emit-module-path "$modules/$name.swiftmodule" \
        -emit-object -o "$object" "$@"
}

# In the order of the imports.
for name in Wire FTPProtocol FTPSession; do module "$name" Sources/"$name"/*.swift; done

# What the relay needs; of the gateway no more than that.
build_relay() {
    swiftc+=(-I Sources/COpenSSL -I Sources/CLibevent -I "$modules/CLinux")
    mkdir -p "$modules/CLinux"
    cp Sources/CLinux/include/CLinux.h "$modules/CLinux/"
    echo 'module CLinux { header "CLinux.h" export * }' >"$modules/CLinux/module.modulemap"
    cc -O1 -g -fsanitize=address -I Sources/CLinux/include -c Sources/CLinux/linux.c -o "$modules/CLinux.o"
    objects+=("$modules/CLinux.o")
    for name in PKI TLS NetIO; do module "$name" Sources/"$name"/*.swift; done
    module Gateway Sources/Gateway/{Relay,Gathering,Stream,Staging,BufferPool}.swift
    module TestSupport Tests/TestSupport/*.swift
}

build() {
    local sources=(Tests/Fuzz/"$1".swift Tests/Fuzz/Support/Promise.swift)
    case $1 in
    # Watched as in the unit tests, and written like their transcripts.
    Sessions) sources+=(Tests/FTPSessionTests/{Watch,Script,Transcript}.swift) ;;
    Relays)
        build_relay
        sources+=(Tests/GatewayTests/{Scene,SimulatedNetwork,SimulatedWorld,TestPeer,ClientTLS}.swift)
        ;;
    esac
    "${swiftc[@]}" -wmo -module-name "Fuzz$1" -o "$out/$1" "${sources[@]}" "${objects[@]}" 2>&1 |
        { grep -v 'Cannot export local symbol' || true; }
}

# Transcripts are what sessions are like: their steps without what is expected.
seed_sessions() {
    local file
    for file in Tests/FTPSessionTests/Transcripts/[0-9]*.txt; do
        { printf 'A\n* accepted\nC: AUTH TLS\n* secured\n* backend connected 10.0.0.5:21\nB: 220 x\n'
            printf 'C: PBSZ 0\nC: PROT P\nC: USER a\nB: 230 x\n'
            grep -E '^(C:|B:|\*) ' "$file" || true; } | head -c 2000 >"$1/$(basename "$file")"
    done
}

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for file in Tests/Fuzz/*.swift; do targets+=("$(basename "$file" .swift)"); done
fi

failed=
for target in "${targets[@]}"; do
    build "$target"
    corpus=$out/corpus/$target
    mkdir -p "$corpus"
    [ "$target" != Sessions ] || seed_sessions "$corpus"
    known=()
    [ ! -d "Tests/Fuzz/corpora/$target" ] || known=("Tests/Fuzz/corpora/$target")
    # Behind Swift's weak references are pointers that the leak checker cannot read.
    leaks=1
    [ "$target" != Relays ] || leaks=0
    echo "fuzz: $target for $seconds s"
    log=$out/$target.log
    if ! ASAN_OPTIONS=detect_leaks=$leaks nice -n 10 "$out/$target" -detect_leaks=$leaks -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=2048 -print_final_stats=1 \
        -dict=Tests/Fuzz/ftp.dict -artifact_prefix="$out/$target-" "$corpus" "${known[@]}" >"$log" 2>&1; then
        tail -n 30 "$log"
        failed+=" $target"
        continue
    fi
    grep -E 'number_of_executed_units|new_units_added' "$log" | sed 's/^stat::/  /'
done
[ -z "$failed" ] || { echo "fuzz: findings in$failed; inputs are kept in $out" >&2; exit 1; }
echo "fuzz: no finding"
