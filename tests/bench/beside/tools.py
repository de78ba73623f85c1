"""Runs each tool as a process of its own, from its start to its end, over one proxy that counts bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.fleet import cost
from tests.bench.lab import HOST, Ended, Lab, write_desired_state
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.process import HostsError

HERE = Path(__file__).parent
PINNED = ("ansible-core==2.19.14", "pyinfra==3.10.0")
FIRST_PORT = 5000


@dataclass(frozen=True)
class Wanted:
    """One app as the others are told about it."""

    app: str
    version: str
    artifact: str
    greeting: str
    domain: str
    ports: tuple[int, int]


@dataclass
class Tools:
    """The tools, and what they are asked to bring about on the host."""

    lab: Lab
    folder: Path
    wanted: list[Wanted] = field(default_factory=list)

    @property
    def programs(self) -> Path:
        return self.folder / "venv/bin"

    def install(self) -> None:
        """Make a venv with the pinned versions; gone with the folder."""
        subprocess.run([sys.executable, "-m", "venv", str(self.folder / "venv")], check=True)
        words = [str(self.programs / "pip"), "install", "-q", "--disable-pip-version-check", *PINNED]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise HostsError(f"the other tools cannot be installed: {done.stderr[-1000:]}")

    def want(self, count: int, version: str, artifact: Path, greeting: str) -> None:
        """So many apps of this release, which say the greeting."""
        names = [f"rival_{number:02}" for number in range(1, count + 1)]
        self.wanted = [
            Wanted(
                name, version, str(artifact), greeting, f"{name.replace('_', '-')}.test",
                (FIRST_PORT + 2 * number, FIRST_PORT + 1 + 2 * number),
            )
            for number, name in enumerate(names)
        ]  # fmt: skip

    def run(self, tool: str, proxy: DelayProxy) -> Ended:
        """Run one of them; its last line of stdout is its cost, as JSON."""
        begin = {
            "reconcile": self._reconcile, "Ansible": self._ansible, "pyinfra": self._pyinfra,
            "bare asyncssh": self._bare, "deploy script": self._script,
        }[tool]  # fmt: skip
        words, environ = begin(proxy)
        ended = self.lab.run(
            [sys.executable, "-I", "-S", cost.__file__, "0", *words], environ={**self.lab.environ, **environ}
        )
        if json.loads(ended.out.splitlines()[-1])["code"] != 0:
            raise HostsError(f"{tool} failed: {str(ended)[-3000:]}")
        return ended

    def prepare(self, proxy: DelayProxy) -> None:
        """Commit what reconcile reads: its own apps, on a host behind this proxy."""
        host = {"address": "127.0.0.1", "port": proxy.port, "host_key": self.lab.machine.host_key}
        write_desired_state(self.lab, "beside", host)
        self.lab.project.commit()

    def _reconcile(self, proxy: DelayProxy) -> tuple[Sequence[str], Mapping[str, str]]:
        return [*self.lab.command, "--once", "--desired-state", "beside"], {}

    def _ansible(self, proxy: DelayProxy) -> tuple[Sequence[str], Mapping[str, str]]:
        options = f"-F none -o HostKeyAlias={HOST} -o UserKnownHostsFile={self._known_hosts(proxy)}"
        variables = {
            "ansible_host": "127.0.0.1", "ansible_port": proxy.port, "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.lab.farm.key_path),
            "ansible_ssh_common_args": options,
            "apps": [each.__dict__ for each in self.wanted],
        }  # fmt: skip
        (self.folder / "variables.json").write_text(json.dumps(variables))
        sockets = self.folder / f"s{os.urandom(3).hex()}"  # each run begins without an open connection
        environ = {
            "ANSIBLE_CONFIG": str(HERE / "ansible/ansible.cfg"), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible"), "ANSIBLE_HOME": str(self.folder / "ansible"),
            "PYTHONPATH": "",
        }  # fmt: skip
        playbook = HERE / "ansible/playbook.yml"
        words = [str(self.programs / "ansible-playbook"), "-i", f"{HOST},", "-e", f"@{self.folder}/variables.json"]
        return [*words, str(playbook)], environ

    def _pyinfra(self, proxy: DelayProxy) -> tuple[Sequence[str], Mapping[str, str]]:
        apps = [each.__dict__ for each in self.wanted]
        data = {
            "ssh_hostname": "127.0.0.1", "ssh_port": proxy.port, "ssh_user": "root",
            "ssh_key": str(self.lab.farm.key_path), "ssh_known_hosts_file": str(self._known_hosts(proxy)),
            "ssh_strict_host_key_checking": "yes", "apps": str(self.folder / "apps.json"),
        }  # fmt: skip
        (self.folder / "apps.json").write_text(json.dumps(apps))
        (self.folder / "inventory.py").write_text(f"hosts = [({HOST!r}, {data!r})]\n")
        words = [str(self.programs / "pyinfra"), "-y", str(self.folder / "inventory.py"), str(HERE / "deploy.py")]
        return words, {"PYTHONPATH": ""}

    def _bare(self, proxy: DelayProxy) -> tuple[Sequence[str], Mapping[str, str]]:
        names = [each.app for each in self.wanted]
        key, host_key = str(self.lab.farm.key_path), self.lab.machine.host_key
        return [sys.executable, "-I", str(HERE / "bare.py"), str(proxy.port), key, host_key, *names], {}

    def _script(self, proxy: DelayProxy) -> tuple[Sequence[str], Mapping[str, str]]:
        ssh = f"-F none -i {self.lab.farm.key_path} -o HostKeyAlias={HOST}"
        ssh += f" -o UserKnownHostsFile={self._known_hosts(proxy)}"
        first = self.wanted[0]
        to = f"/opt/my_app/{first.version}.tar.gz"
        text = (
            f"scp -q {ssh} -P {proxy.port} {first.artifact} root@127.0.0.1:{to} && "
            f"ssh {ssh} -p {proxy.port} root@127.0.0.1 sh /opt/my_app/deploy.sh {first.version}"
        )
        return ["sh", "-c", text], {}

    def _known_hosts(self, proxy: DelayProxy) -> Path:
        file = self.folder / "known_hosts"
        key = self.lab.machine.host_key
        file.write_text(f"{HOST} {key}\n[127.0.0.1]:{proxy.port} {key}\n")
        return file


def versions(tools: Tools) -> dict[str, str]:
    """The versions that a reader wants to know."""
    asked = {
        "Ansible": [str(tools.programs / "ansible-playbook"), "--version"],
        "pyinfra": [str(tools.programs / "pyinfra"), "--version"], "OpenSSH": ["ssh", "-V"],
    }  # fmt: skip
    found = {}
    for name, words in asked.items():
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        found[name] = (done.stdout or done.stderr).splitlines()[0].strip()
    return found
