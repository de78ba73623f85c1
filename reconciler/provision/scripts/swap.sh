# MiB
set -e
umask 077
if [ ! -e /swapfile ] || ! swapon --show=NAME --noheadings | grep -qx /swapfile; then
  rm -f /swapfile
  fallocate -l "$1M" /swapfile || dd if=/dev/zero of=/swapfile bs=1M count="$1" status=none
  mkswap /swapfile >/dev/null
  swapon /swapfile || {
    rm -f /swapfile
    echo 'this machine does not let us swap' >&2
    exit 1
  }
fi
grep -q '^/swapfile ' /etc/fstab || echo '/swapfile none swap sw 0 0' >>/etc/fstab
