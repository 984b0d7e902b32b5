#!/usr/bin/env bash
# Runs interop tests in the guest that run.py has booted, with --ktls=on where a test does not say otherwise.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/scratch LANG=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1
# Without a limit for its keys, whatever can go there does.
export FTPSGATE_KTLS=on FTPSGATE_REKEY_BYTES=0
mkdir -p "$TMPDIR"
# Pages of a program come slowly from the other side.
cp "$FTPSGATE" /run/ftpsgate
export FTPSGATE=/run/ftpsgate
uname -r
paths=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do
    paths+=("Tests/Interop/$1.py")
    shift
done
.build/venv/bin/python -m pytest -c Tests/Interop/pytest.ini --rootdir . -vv -p no:xdist "${paths[@]}" "$@"
status=$?
grep -E '^Tls' /proc/net/tls_stat | sed 's/^/kernel: /'
exit $status
