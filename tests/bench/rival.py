"""The hand-written deploy script that reconcile replaces, as its authors write it, and its route.

Traefik lists both ports and asks `/ping` every 10 s; the script unpacks, starts the other port, asks it until it
answers, and stops the old one. How long requests go to the stopped port depends on when Traefik asks next.
"""

from __future__ import annotations

import shlex

from tests.bench.lab import HOST, Lab
from tests.hosts.load import Target
from tests.support.releases import build_release

DOMAIN = "rival.test"
HEALTH_INTERVAL_SECONDS = 10

UNIT = """\
[Unit]
Description=my_app on port %i
[Service]
Type=exec
DynamicUser=yes
Environment=PORT=%i HOME=/tmp LANG=C.UTF-8 RELEASE_DISTRIBUTION=none RELEASE_TMP=/tmp DRAIN_SECONDS=5
WorkingDirectory=/opt/my_app/%i
ExecStart=/opt/my_app/%i/bin/my_application start
KillMode=mixed
TimeoutStopSec=40
Restart=on-failure
PrivateTmp=yes
"""

ROUTE = f"""\
http:
  routers:
    my_app: {{rule: "Host(`{DOMAIN}`)", entryPoints: [web], service: my_app}}
  services:
    my_app:
      loadBalancer:
        servers: [{{url: "http://127.0.0.1:4100"}}, {{url: "http://127.0.0.1:4101"}}]
        healthCheck: {{path: /ping, interval: {HEALTH_INTERVAL_SECONDS}s, timeout: 3s}}
"""

# The host has no curl; bash speaks TCP.
DEPLOY = r"""
set -eu
version=$1
answers() {
  bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET /ping HTTP/1.0\r\n\r\n' >&3 && head -1 <&3" 2>/dev/null
}
mkdir -p /opt/my_app/$version
tar -xzf /opt/my_app/$version.tar.gz -C /opt/my_app/$version
old=4100 new=4101
systemctl is-active --quiet my_app@4100 || { old=4101 new=4100; }
ln -sfn /opt/my_app/$version /opt/my_app/$new
systemctl start my_app@$new
until answers $new | grep -q ' 200 '; do sleep 0.1; done
systemctl stop my_app@$old
"""

REMOVE = """\
rm -f /etc/traefik/dynamic/my_app.yml
systemctl stop 'my_app@*'
rm -rf /opt/my_app /etc/systemd/system/my_app@.service
"""


def install(lab: Lab) -> None:
    """Its files on the host, and the first version deployed."""
    for version in ("0.1.0", "0.2.0"):
        lab.machine.write(f"/opt/my_app/{version}.tar.gz", build_release(version).read_bytes())
    lab.machine.write("/etc/systemd/system/my_app@.service", UNIT)
    lab.machine.write("/opt/my_app/deploy.sh", DEPLOY)
    lab.machine.run("systemctl daemon-reload")
    deploy(lab, "0.1.0")
    lab.machine.write("/etc/traefik/dynamic/my_app.yml", ROUTE)


def deploy(lab: Lab, version: str) -> None:
    """What its user types, without what the start-up files of the test hosts set."""
    clean = "unset POSIXLY_CORRECT TAR_OPTIONS; umask 022"
    lab.ssh(HOST, f"{clean}; sh /opt/my_app/deploy.sh {shlex.quote(version)}")


def remove(lab: Lab) -> None:
    lab.machine.run(REMOVE)


def target(lab: Lab) -> Target:
    return Target(lab.machine.address, DOMAIN)
