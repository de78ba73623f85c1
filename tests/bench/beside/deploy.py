"""The deploy of pyinfra: `pyinfra INVENTORY deploy.py`. It reads /opt/APP/live, and goes on from there."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.facts.server import Command
from pyinfra.operations import files, server, systemd

TEMPLATES = Path(__file__).parent / "templates"
# The host has no curl; bash speaks TCP.
HEALTHY = (
    'timeout 30 bash -c \'until exec 3<>/dev/tcp/127.0.0.1/{port} && printf "GET /ping HTTP/1.0\\r\\n\\r\\n" >&3 && '
    'head -1 <&3 | grep -q " 200 "; do sleep 0.1; done\' 2>/dev/null'
)


def deploy(app: str, version: str, artifact: str, greeting: str, domain: str, ports: list[int]) -> None:
    """One app: everything that is as it should be is only looked at."""
    home = f"/opt/{app}"
    live = (host.get_fact(Command, f"cat {home}/live 2>/dev/null || true") or "").split()
    wanted = [version, hashlib.sha1(greeting.encode(), usedforsecurity=False).hexdigest()]
    switches = live[1:] != wanted
    port = ports[0] if not live else int(live[0])
    if live and switches:
        port = next(each for each in ports if str(each) != live[0])
    release = f"{home}/releases/{version}"
    if host.get_fact(File, f"{release}/bin/my_application") is None:
        files.directory(path=release)
        files.put(src=artifact, dest=f"{home}/{version}.tar.gz")
        server.shell(commands=[f"/usr/bin/tar -xzf {home}/{version}.tar.gz -C {release} && rm {home}/{version}.tar.gz"])
    files.link(path=f"{home}/{port}", target=f"releases/{version}")
    files.template(src=str(TEMPLATES / "env.j2"), dest=f"{home}/{port}.env", mode="600", greeting=greeting)
    unit = files.template(src=str(TEMPLATES / "unit.j2"), dest=f"/etc/systemd/system/{app}@.service", app=app)
    if unit.will_change:
        systemd.daemon_reload()
    systemd.service(service=f"{app}@{port}.service", running=True, restarted=switches, enabled=True)
    server.shell(commands=[HEALTHY.format(port=port)])
    if switches:
        server.shell(commands=["sleep 1"])
    route = f"/etc/traefik/dynamic/{app}.yml"
    files.template(src=str(TEMPLATES / "route.j2"), dest=route, app=app, domain=domain, slot=port)
    if switches:
        files.put(src=io.StringIO(f"{port} {' '.join(wanted)}"), dest=f"{home}/live")
        if live:
            server.shell(commands=["sleep 1"])
            systemd.service(service=f"{app}@{live[0]}.service", running=False, enabled=False)


for each in json.loads(Path(host.data.apps).read_text()):
    deploy(**each)
