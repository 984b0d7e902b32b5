#!/usr/bin/env bash
# Coverage-guided fuzzing of everything that reads strangers' bytes on the control connection (libFuzzer, AddressSanitizer).
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
    -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature MemberImportVisibility
)

# Each module on its own, as in the package; the order is that of the imports.
objects=()
for module in Wire FTPProtocol FTPSession; do
    sources=(Sources/"$module"/*.swift)
    object=$modules/$module.o
    objects+=("$object")
    newest=$(find "${sources[@]}" "$0" -newer "$object" 2>/dev/null | head -n 1 || true)
    [ -e "$object" ] && [ -z "$newest" ] && continue
    "${swiftc[@]}" -wmo -module-name "$module" -emit-module -emit-module-path "$modules/$module.swiftmodule" \
        -emit-object -o "$object" "${sources[@]}"
done

build() {
    local sources=(Tests/Fuzz/"$1".swift Tests/Fuzz/Support/Promise.swift)
    # Sessions are watched as in the unit tests, and written like their transcripts.
    [ "$1" != Sessions ] || sources+=(Tests/FTPSessionTests/{Watch,Script,Transcript}.swift)
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
    echo "fuzz: $target for $seconds s"
    log=$out/$target.log
    if ! nice -n 10 "$out/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=2048 -print_final_stats=1 \
        -dict=Tests/Fuzz/ftp.dict -artifact_prefix="$out/$target-" "$corpus" "${known[@]}" >"$log" 2>&1; then
        tail -n 30 "$log"
        failed+=" $target"
        continue
    fi
    grep -E 'number_of_executed_units|new_units_added' "$log" | sed 's/^stat::/  /'
done
[ -z "$failed" ] || { echo "fuzz: findings in$failed; inputs are kept in $out" >&2; exit 1; }
echo "fuzz: no finding"
