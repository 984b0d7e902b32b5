#!/usr/bin/env bash
# Searches with one target of .build/fuzz for SECONDS_EACH seconds (10), after all of its inputs of before.
#
# What a target found useful before is in corpora/NAME, and what it finds now goes to .build/fuzz/corpus/NAME. An input that
# breaks something is shown, and kept as .build/fuzz/NAME-crash-…: give it a unit test, then a cure.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$1
seconds=${SECONDS_EACH:-10}
out=.build/fuzz
log=$out/$target.log
corpus=$out/corpus/$target
inputs=("$corpus")
[ ! -d "Tests/Fuzz/corpora/$target" ] || inputs+=("Tests/Fuzz/corpora/$target")
mkdir -p "$corpus"
# Swift's own report of a crash stands in the sanitizer's way.
export SWIFT_BACKTRACE=enable=no

# Transcripts are what sessions are like: their steps without what is expected.
seed_sessions() {
    local file
    for file in Tests/FTPSessionTests/Transcripts/[0-9]*.txt; do
        { printf 'A\n* accepted\nC: AUTH TLS\n* secured\n* backend connected 10.0.0.5:21\nB: 220 x\n'
            printf 'C: PBSZ 0\nC: PROT P\nC: USER a\nB: 230 x\n'
            grep -E '^(C:|B:|\*) ' "$file" || true; } | head -c 2000 >"$1/$(basename "$file")"
    done
}

# What was freed is watched for a while; four times as much of it would only be more memory.
fuzz() {
    ASAN_OPTIONS=detect_leaks=$leaks:quarantine_size_mb=64 nice -n 10 "$out/$target" -detect_leaks="$leaks" -timeout=30 \
        -rss_limit_mb=1024 -max_len=2048 -artifact_prefix="$out/$target-" "$@" >"$log" 2>&1
}

# The leak checker looks at its process as a debugger does, which a sandbox may forbid, or a debugger do already: then it fails
# whatever it finds.
can_find_leaks() {
    fuzz -runs=1 -exact_artifact_path=/dev/null || ! grep -q 'LeakSanitizer has encountered a fatal error' "$log"
}

[ "$target" != Sessions ] || seed_sessions "$corpus"
leaks=1
note=
# Behind Swift's weak references are pointers that the leak checker cannot read.
if [ "$target" = Relays ]; then
    leaks=0
elif ! can_find_leaks; then
    leaks=0
    note=", leaks unseen: no ptrace here"
fi
if fuzz -max_total_time="$seconds" -print_final_stats=1 -dict=Tests/Fuzz/ftp.dict "${inputs[@]}"; then
    echo "fuzz: $target for $seconds s$note: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs," \
        "$(sed -n 's/^stat::new_units_added: *//p' "$log") inputs more, no finding"
    exit
fi
{
    echo "fuzz: $target has a finding; all of its log is $log"
    grep -E '^(Fatal|.*: Fatal) error|^==[0-9]+== ?ERROR|^SUMMARY' "$log" || true
    tail -n 30 "$log"
    sed -n 's/.*Test unit written to //p' "$log" | while read -r input; do
        echo "fuzz: the input is kept as $input: base64 -d <<<$(base64 -w0 "$input")"
    done
} >&2
exit 1
