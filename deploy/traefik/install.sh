#!/bin/sh
# Install Traefik as a systemd service from the folder of this file. Run it as root; it can be run again at any time.
#     sh install.sh                     HTTPS with certificates from Let's Encrypt (edit the e-mail in traefik.yml first)
#     sh install.sh traefik-http.yml    plain HTTP
# It installs the binary from this folder, if there is one; otherwise /usr/local/bin/traefik must exist already.
set -eu
cd "$(dirname "$0")"
static=${1:-traefik.yml}

[ ! -f traefik ] || install -m 0755 traefik /usr/local/bin/traefik
/usr/local/bin/traefik version >/dev/null

id -u traefik >/dev/null 2>&1 ||
  useradd --system --user-group --no-create-home --home-dir /var/lib/traefik --shell /usr/sbin/nologin traefik
install -d -m 0755 /etc/traefik /etc/traefik/dynamic
install -m 0644 "$static" /etc/traefik/traefik.yml
install -m 0644 traefik.service /etc/systemd/system/traefik.service

if [ ! -s /etc/traefik/default.key ]; then
  umask 077
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=default \
    -keyout /etc/traefik/default.key -out /etc/traefik/default.pem 2>/dev/null
  chgrp traefik /etc/traefik/default.key
  chmod 0640 /etc/traefik/default.key
  chmod 0644 /etc/traefik/default.pem
fi
install -m 0644 default-certificate.yml /etc/traefik/dynamic/00-default-certificate.yml

systemctl daemon-reload
systemctl enable --quiet traefik
systemctl restart traefik
