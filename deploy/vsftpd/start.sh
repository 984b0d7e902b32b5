#!/bin/sh
# Makes the user of FTP_USER and FTP_PASSWORD, and runs vsftpd until it is told to stop.
set -eu
user=${FTP_USER:-ftpuser}
: "${FTP_PASSWORD:?set FTP_PASSWORD, the password of the FTP user $user}"
id "$user" >/dev/null 2>&1 || useradd --home-dir /srv/ftp --no-create-home --shell /bin/sh "$user"
printf '%s:%s\n' "$user" "$FTP_PASSWORD" | chpasswd
unset FTP_PASSWORD
mkdir -p /var/run/vsftpd/empty /srv/ftp
chown "$user" /srv/ftp
# The first process of a container gets no signal that it has not asked for: the shell passes them on.
/usr/sbin/vsftpd /etc/vsftpd.conf &
trap 'kill $!' TERM INT
wait $! || true
