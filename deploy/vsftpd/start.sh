#!/bin/sh
# Makes the user of FTP_USER and FTP_PASSWORD, and becomes vsftpd.
set -eu
user=${FTP_USER:-ftpuser}
: "${FTP_PASSWORD:?set FTP_PASSWORD, the password of the FTP user $user}"
id "$user" >/dev/null 2>&1 || useradd --home-dir /srv/ftp --no-create-home --shell /bin/sh "$user"
printf '%s:%s\n' "$user" "$FTP_PASSWORD" | chpasswd
unset FTP_PASSWORD
mkdir -p /var/run/vsftpd/empty /srv/ftp
chown "$user" /srv/ftp
exec /usr/sbin/vsftpd /etc/vsftpd.conf
