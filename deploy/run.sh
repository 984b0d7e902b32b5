#!/usr/bin/env bash
# ftpsgate before a plain FTP server of yours: run.sh HOST:PORT. `make run BACKEND=HOST:PORT` runs it.
#
# Ports 21 and 990 where they can be had, else 2121 and 2990; LISTEN and LISTEN_IMPLICIT name others. FLAGS adds any flag.
set -euo pipefail
cd "$(dirname "$0")/.."

gateway=${FTPSGATE:-.build/release/ftpsgate}
backend=${1:?"run.sh HOST:PORT"}

is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && { [ "$1" -ge 1024 ] || [ "$(id -u)" = 0 ]; }
}
explicit=${LISTEN:-$(is_free 21 && echo 21 || echo 2121)}
implicit=${LISTEN_IMPLICIT:-$(is_free 990 && echo 990 || echo 2990)}
read -ra flags <<<"${FLAGS:-}"

cat <<END
ftpsgate before $backend: port $explicit explicit FTPS, port $implicit implicit FTPS, data on ports 50000-50999.
Clients: curl --ssl-reqd --insecure -u USER ftp://$(hostname):${explicit##*:}/
The log follows; Ctrl-C ends it after the running transfers, a second Ctrl-C at once.

END
exec "$gateway" serve --listen "$explicit" --listen-implicit "$implicit" --backend "$backend" "${flags[@]}"
