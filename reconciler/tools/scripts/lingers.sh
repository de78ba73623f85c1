# Apps live in the login's own systemd, which must be there from boot on, and after the login. Asked with each look.
login=$(id -un) uid=$(id -u)
[ "$uid" != 0 ] || refuse "scope user is for a login without root's rights, and this is root" "write scope: system for the host"
[ -e "/var/lib/systemd/linger/$login" ] ||
  refuse "nothing of $login outlives the login: linger is off" "on the host, once: loginctl enable-linger $login (as root if it is denied)"
while [ ! -S "$XDG_RUNTIME_DIR/systemd/private" ]; do
  [ "$(command systemctl is-active "user@$uid.service")" = activating ] ||
    refuse "no systemd runs for $login, although linger is on" \
      "as root on the host: apt install libpam-systemd && systemctl restart user@$uid"
  sleep 0.1
done
