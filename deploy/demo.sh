#!/usr/bin/env bash
# A real plain FTP server on a scratch folder, ftpsgate before it, and a real client's session through both; then it serves until
# Ctrl-C. With ONCE=1 it ends after the client's session: exit status 0 if all went well. `make demo` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

gateway=${FTPSGATE:-.build/release/ftpsgate}
folder=demo-files
work=.build/demo
user=demo
password=demo
pids=()

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' green='' red='' plain=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
good() { printf '  %s✓%s %s\n' "$green" "$plain" "$1"; }
fail() {
    printf '  %s✗ %s%s\n' "$red" "$1" "$plain" >&2
    local log
    for log in server gateway; do
        [ ! -s "$work/$log.log" ] || { printf '\nThe end of %s:\n' "$work/$log.log" && tail -n 12 "$work/$log.log"; } >&2
    done
    exit 1
}

# shellcheck disable=SC2317  # called by the trap
end() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap end EXIT
trap 'printf "\nEnding.\n"; exit 0' INT TERM

# Waits until the program `pid` has written a line that begins with `start` to `file`, and prints it.
first_line() {
    local file=$1 start=$2 pid=$3
    for _ in $(seq 200); do
        if grep -m 1 "^$start" "$file" 2>/dev/null; then return; fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# The port if nobody has it, else 0: the kernel chooses.
prefer() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then echo 0; else echo "$1"; fi
}

rm -rf "$work"
mkdir -p "$folder" "$work" .build/demo-state

title "A plain FTP server, and ftpsgate before it"
[ -e "$folder/welcome.txt" ] || echo "Hello from behind the gateway." >"$folder/welcome.txt"
.build/venv/bin/python Tests/Interop/pyftpdlib_server.py 127.0.0.1 "$folder" "$user" "$password" \
    >"$work/server.ready" 2>"$work/server.log" &
pids+=($!)
line=$(first_line "$work/server.ready" ready $!) || fail "the FTP server did not start."
backend=127.0.0.1:${line##* }
good "plain FTP server (pyftpdlib) on $backend, folder $folder/, user $user, password $password"

explicit=$(prefer 2121) implicit=$(prefer 2990)
"$gateway" serve --listen "127.0.0.1:$explicit" --listen "[::1]:$explicit" \
    --listen-implicit "127.0.0.1:$implicit" --listen-implicit "[::1]:$implicit" \
    --backend "$backend" --passive-ports 0:50 --state-directory .build/demo-state \
    >"$work/gateway.ready" 2>"$work/gateway.log" &
pids+=($!)
line=$(first_line "$work/gateway.ready" ready $!) || fail "ftpsgate did not start."
explicit=$(sed -nE 's/.* listen=127\.0\.0\.1:([0-9]+).*/\1/p' <<<"$line")
implicit=$(sed -nE 's/.* listen-implicit=127\.0\.0\.1:([0-9]+).*/\1/p' <<<"$line")
certificate=.build/demo-state/ftpsgate.crt
good "ftpsgate on port $explicit (explicit FTPS) and $implicit (implicit FTPS)"
good "certificate $certificate, made by itself; SHA-256 $(openssl x509 -in "$certificate" -noout -fingerprint -sha256 | cut -d= -f2)"

title "A client's session through it"
ftp=(curl --silent --show-error --max-time 60 --ssl-reqd --cacert "$certificate" --user "$user:$password")
show() { printf '  %s$ curl --ssl-reqd --cacert %s -u %s:%s %s%s\n' "$dim" "$certificate" "$user" "$password" "$*" "$plain"; }

url=ftp://127.0.0.1:$explicit
show "$url/"
"${ftp[@]}" -v "$url/" >"$work/listing" 2>"$work/curl.log" || fail "curl could not log in and list: $(tail -n 1 "$work/curl.log")"
sed 's/^/    /' "$work/listing"
grep -q welcome.txt "$work/listing" || fail "the listing does not show welcome.txt."
connection=$(sed -nE 's/^\* SSL connection using (.*)/\1/p' "$work/curl.log" | head -n 1)
[ -n "$connection" ] || fail "curl did not use TLS."
good "logged in and listed over $connection"

head -c 8388608 /dev/urandom >"$work/upload"
sum() { sha256sum "$1" | cut -d' ' -f1; }
for address in "$url" "ftps://127.0.0.1:$implicit"; do
    name=upload-${address%%:*}.bin
    show "-T $work/upload $address/$name"
    "${ftp[@]}" -T "$work/upload" "$address/$name" || fail "the upload failed."
    [ "$(sum "$folder/$name")" = "$(sum "$work/upload")" ] || fail "what arrived at the server differs."
    show "-o $work/download $address/$name"
    "${ftp[@]}" -o "$work/download" "$address/$name" || fail "the download failed."
    [ "$(sum "$work/download")" = "$(sum "$work/upload")" ] || fail "what came back differs."
    good "8 MiB up and down again, SHA-256 $(sum "$work/download" | cut -c1-16)… three times the same"
    rm -f "$folder/$name"
done

title "What ftpsgate logged of it"
grep -E ' (info|warning|error) (transfer|session\.closed) ' "$work/gateway.log" | cut -d' ' -f2- | sed 's/^/    /' | cut -c1-190

if [ -n "${ONCE:-}" ]; then
    title "All well."
    exit 0
fi

title "Try it yourself"
cat <<END
  curl       curl --ssl-reqd --cacert $certificate -u $user:$password ftp://127.0.0.1:$explicit/
             curl --cacert $certificate -u $user:$password ftps://127.0.0.1:$implicit/
  lftp       lftp -e 'set ftp:ssl-force yes; set ssl:ca-file $certificate' -u $user,$password ftp://127.0.0.1:$explicit
  FileZilla  File, Site Manager, New site: host 127.0.0.1, port $explicit, encryption "Require explicit FTP over TLS"
             (port $implicit: "Require implicit FTP over TLS"), user $user, password $password; compare the fingerprint above

  Files are in $folder/; the log is $work/gateway.log.
  Serving until Ctrl-C.
END
wait -n "${pids[@]}" || true
fail "a server ended by itself."
