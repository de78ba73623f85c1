# package …
set -e
DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
export DEBIAN_FRONTEND NEEDRESTART_MODE
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >/dev/null
