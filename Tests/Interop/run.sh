#!/usr/bin/env bash
# Runs the interop tests: all of them, or the files and tests that are named.
#
#   Tests/Interop/run.sh                              all
#   Tests/Interop/run.sh test_passive                 one file
#   Tests/Interop/run.sh test_passive -k 'epsv'       some of its tests
#
# FTPSGATE names another binary than the release build. FTPSGATE_TEST_FULL=1: crowds and long series at full size (sizes.py).
set -euo pipefail
cd "$(dirname "$0")/../.."

paths=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do
    name=${1%.py}
    paths+=("Tests/Interop/${name##*/}.py")
    shift
done
[ ${#paths[@]} -gt 0 ] || paths=(Tests/Interop)

pytest() {
    .build/venv/bin/python -m pytest -c Tests/Interop/pytest.ini --rootdir . "$@" && return
    # Exit status 5: none of the named tests belongs to this half.
    local status=$?
    [ $status = 5 ] || failed=$status
}

failed=0
pytest "${paths[@]}" -m 'not alone' -n "${FTPSGATE_TEST_PROCESSES:-4}" --dist worksteal "$@"
pytest "${paths[@]}" -m alone "$@"
exit "$failed"
