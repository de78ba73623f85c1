"""One real host, from its first boot to its end, with what a test can do to it as root."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from .container import Container, first_process
from .disk import Disk
from .image import DEPLOY_USER
from .network import Link
from .process import HostsError, ProcessId, command, wait_until

SSH_PORT = 22
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_KEY_KINDS: dict[str, tuple[str, ...]] = {"ed25519": (), "ecdsa": (), "rsa": ("-b", "2048")}
HOSTS = """\
127.0.0.1 localhost
127.0.1.1 {name}
::1 localhost ip6-localhost ip6-loopback
"""


@dataclass(frozen=True)
class Machine:
    """A host with systemd, sshd and an address of its own.

    All it knows lies in `folder`, so that another process can end it. `key_path` logs in as root and as
    `deploy`, who has sudo. `binds` are files of this machine shown read-only in the guest, as `source:path`.
    """

    name: str
    folder: Path
    link: Link
    key_path: Path
    binds: tuple[str, ...] = ()
    with_bpf: bool = False  # it may use BPF as a machine of its own could

    @property
    def address(self) -> str:
        return self.link.address

    @property
    def disk(self) -> Disk:
        return Disk(self.folder)

    @property
    def root(self) -> Path:
        """The host's root file system seen from here: for reading and breaking files behind its back."""
        return self.disk.root

    @property
    def host_key(self) -> str:
        """The key that OpenSSH asks its sshd for: `ssh-ed25519 AAAA…`, known before it ever ran."""
        return self.host_keys["ed25519"]

    @property
    def host_keys(self) -> dict[str, str]:
        """The public key of each kind, as every real server has them."""
        return {kind: " ".join(self._host_key(kind, ".pub").read_text().split()[:2]) for kind in HOST_KEY_KINDS}

    def _host_key(self, kind: str, ending: str = "") -> Path:
        return self.folder / f"host_key_{kind}{ending}"

    @property
    def known_hosts_line(self) -> str:
        return self.known_hosts_entry(f"{self.name},{self.address}")

    def known_hosts_entry(self, names: str) -> str:
        """This host's key under other names, such as `[127.0.0.1]:2201` for a proxy before it."""
        return f"{names} {self.host_key}"

    def create(self, image: Path) -> None:
        """Make disk and identity and plug it in; the power is still off."""
        self.folder.mkdir(parents=True)
        for kind, more in HOST_KEY_KINDS.items():
            key = str(self._host_key(kind))
            command(["ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-C", self.name, "-f", key])
        self.disk.attach(image)
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(HOSTS.format(name=self.name))
        # With an identity of its own the first boot is like any other: systemd presets nothing.
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        for kind in HOST_KEY_KINDS:
            for ending in ("", ".pub"):
                shutil.copy(self._host_key(kind, ending), etc / f"ssh/ssh_host_{kind}_key{ending}")
        for home in (self.root / "root", self.root / "home" / DEPLOY_USER):
            self._let_in(home)

    def _let_in(self, home: Path) -> None:
        owner, folder = home.stat(), home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(f"{self.key_path}.pub", folder / "authorized_keys")
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)

    def boot(self) -> None:
        """Switch it on; `wait_until_reachable` tells when it can be used."""
        if self.running:
            raise HostsError(f"{self.name} is on already")
        if not self.link.namespace.exists():
            self.link.create()
        supervisor = self._container.start()
        (self.folder / "supervisor").write_text(f"{supervisor.pid} {supervisor.started}")

    @property
    def running(self) -> bool:
        return (supervisor := self._supervisor()) is not None and supervisor.alive()

    def wait_until_reachable(self, seconds: float = 30) -> None:
        """Return as soon as sshd answers and lets people in."""
        boots_left = 2  # systemd-nspawn now and then gives up while another host boots: "Attempted to remove disk …"

        def reachable() -> bool:
            nonlocal boots_left
            if not self.running:
                if not boots_left:
                    raise HostsError(f"{self.name} went off: {self._container.last_words()}")
                boots_left -= 1
                self.boot()
                return False
            # In this order: until the boot is through, pam_nologin turns away whoever is not root.
            return self._sshd_answers() and not self._guest_file("run/nologin").exists()

        wait_until(reachable, seconds, f"{self.name} ({self.address}) answers on port {SSH_PORT}")

    def _sshd_answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, SSH_PORT), 0.5) as connection,
        ):
            connection.settimeout(0.5)
            return connection.recv(4) == b"SSH-"
        return False

    def reboot(self, seconds: float = 60) -> None:
        """A genuine reboot by its own systemd; return when it can be reached again."""
        before = self._guest()
        self.run("systemctl --no-block reboot")
        wait_until(lambda: not before.alive(), seconds, f"{self.name} goes down for its reboot")
        wait_until(lambda: first_process(self._running_supervisor()), seconds, f"{self.name} starts again")
        self.wait_until_reachable(seconds)

    def power_off_hard(self) -> None:
        """A power cut: every process ends at once, no packet says so. `boot` brings it back with its disk."""
        supervisor = self._running_supervisor()
        self.link.cut()
        self._container.kill(supervisor)
        # Its connections go with the link: the next boot answers the old ones with a reset, as a real one
        # does.
        self.link.delete()

    def cut_link(self) -> None:
        """From now on packets to and from it vanish; connections hang, none closes. `run` still works."""
        self.link.cut()

    def heal_link(self) -> None:
        self.link.heal()

    def fill_disk(self, free_bytes: int = 0) -> None:
        """Fill its disk up to this much free space."""
        self.disk.fill(free_bytes)

    def free_disk(self) -> None:
        self.disk.free()

    def run(
        self, script: str, *, check: bool = True, stdin: bytes = b"", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run POSIX sh as root in the guest, around its network: for assertions and faults."""
        into = ["nsenter", "--all", "--root", "--wd", f"--target={self._guest().pid}", "--"]
        environment = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8"]
        words = [*into, *environment, "sh", "-c", script]
        try:
            done = subprocess.run(words, input=stdin, check=False, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as error:  # also: who enters a guest that is going down may hang
            raise HostsError(f"{self.name}: `{script}` did not end within {seconds:g} s") from error
        said = subprocess.CompletedProcess(
            script,
            done.returncode,
            *(stream.decode(errors="replace") for stream in (done.stdout, done.stderr)),
        )
        if check and said.returncode != 0:
            raise HostsError(f"{self.name}: `{script}` ended with {said.returncode}: {said.stderr or said.stdout}")
        return said

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Put a file into the guest as root, its folders too."""
        data = content.encode() if isinstance(content, str) else content
        folder, file = shlex.quote(str(Path(path).parent)), shlex.quote(path)
        self.run(f"mkdir -p {folder} && cat >{file} && chmod {mode:o} {file}", stdin=data)

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}").stdout

    def destroy(self) -> None:
        """Remove its processes, cable, namespace, disk and folder. Parts already gone are no error."""
        if (supervisor := self._supervisor()) and supervisor.alive():
            self._container.kill(supervisor)
        self.link.delete()
        self._container.forget()
        self.disk.detach()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _container(self) -> Container:
        console = self.folder / "console.log"
        return Container(self.link.name, self.name, self.root, self.link.namespace, self.binds, console, self.with_bpf)

    def _supervisor(self) -> ProcessId | None:
        with contextlib.suppress(OSError, ValueError):
            pid, started = (self.folder / "supervisor").read_text().split()
            return ProcessId(int(pid), int(started))
        return None

    def _running_supervisor(self) -> ProcessId:
        if (supervisor := self._supervisor()) is None or not supervisor.alive():
            raise HostsError(f"{self.name} is off: {self._container.last_words()}")
        return supervisor

    def _guest(self) -> ProcessId:
        guest = first_process(self._running_supervisor())
        if guest is None:
            raise HostsError(f"{self.name} is between two boots")
        return guest

    def _guest_file(self, path: str) -> Path:
        """A file as the guest's first process sees it: /run and /proc too, which are no part of its disk."""
        return Path(f"/proc/{self._guest().pid}/root", path)
