"""A host is reached as `ssh HOST` reaches it, whatever ~/.ssh and /etc/ssh say, and on a machine without ssh too."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import asyncssh
import pytest

from reconciler import logs
from reconciler.errors import HostError, HostKeyRefused, HostRefused, HostUnreachable
from reconciler.host import hostkey, ssh_config, ssh_connect, ssh_resolve
from reconciler.host.hostkey import ShownKey, ask_host_key
from reconciler.host.ssh import SshHost
from reconciler.host.ssh_config import compose, read_narrowly
from reconciler.host.ssh_settings import settings_of
from reconciler.host.transport import Command
from tests.support.ssh_server import SshServer

KINDS = ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
NEEDS_SSH = pytest.mark.skipif(not shutil.which("ssh"), reason="asks ssh")


@dataclass
class Home:
    """The home of the user, with a key that may log in, and the system's folder."""

    folder: Path
    system: Path

    def write(self, name: str, text: str) -> None:
        file = self.folder / ".ssh" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def public_key(self) -> str:
        return (self.folder / ".ssh/id_test.pub").read_text()

    def server(self, **settings: object) -> SshServer:
        return SshServer(host_keys=KINDS, login_key=self.public_key, **settings)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    place = Home(tmp_path / "home", tmp_path / "etc")
    key = asyncssh.generate_private_key("ssh-ed25519")
    place.write("id_test", key.export_private_key().decode())
    place.write("id_test.pub", key.export_public_key().decode())
    place.system.mkdir()
    monkeypatch.setenv("HOME", str(place.folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(ssh_config, "SYSTEM_FOLDER", place.system)
    return place


@pytest.fixture(params=["ssh", "no ssh"])
def with_ssh(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "no ssh":
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    elif not shutil.which("ssh"):
        pytest.skip("asks ssh")
    return bool(request.param == "ssh")


@pytest.fixture
def details(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    said = list[dict[str, object]]()
    monkeypatch.setattr(logs, "_details", True)
    monkeypatch.setattr(logs, "log", lambda event, **fields: said.append({"event": event, **fields}))
    yield said


def visit(server: SshServer, prepare: Callable[[SshServer], None], host_key: str | None = None) -> None:
    """Run a command on the host web1."""

    async def story(server: SshServer) -> None:
        host = SshHost("a", "web1", user=None, port=None, host_key=host_key, needs_root=False)
        try:
            assert (await host.run(Command("echo here"))).stdout == "here\n"
        finally:
            await host.close()

    served(server, prepare, story)


def served(
    server: SshServer, prepare: Callable[[SshServer], None], story: Callable[[SshServer], Awaitable[None]]
) -> None:
    async def whole() -> None:
        async with server.running():
            prepare(server)
            await story(server)

    asyncio.run(whole())


def known(server: SshServer, kind: str = "ssh-ed25519", name: str = "[127.0.0.1]:{port}") -> str:
    return f"{name.format(port=server.port)} {server.public_keys[kind]}\n"


USUAL = "Host web1\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile ~/.ssh/id_test\n"


@pytest.mark.parametrize(
    "config",
    [
        USUAL,
        "Host web1 # one\n HostName=127.0.0.1 # here\n Port {port}   # office\n IdentityFile ~/.ssh/id_test # key\n",
        'Host web1\n hostname "127.0.0.1"\n port = {port}\n IdentityFile "%d/.ssh/id_test"\nHost *\n Port 1\n',
        USUAL.replace("id_test", "id_work") + "  IdentityFile ~/.ssh/id_test\n",
        USUAL.replace("id_test", "id_test.pub") + "  IdentityFile ~/.ssh/id_test\n",
        USUAL.replace("id_test", "garbage") + "  IdentityFile ~/.ssh/id_test\n",
        USUAL + "Match all # x\n User nobody # comment\n",
        "Match localnetwork 203.0.113.0/24\n Port 1\n" + USUAL,
        "Match version OpenSSH_0.*\n Port 1\nMatch command nothing\n Port 1\nMatch sessiontype subsystem\n Port 1\n"
        + USUAL,
        "Match tagged other\n Port 1\nMatch !originalhost web1\n Port 1\n" + USUAL,
        "Match final originalhost web1\n User late\n" + USUAL,
        "IgnoreUnknown UseKeychain\n" + USUAL + "  UseKeychain yes\n",
        USUAL
        + "  RequestTTY force\n  SendEnv LC_ALL\n  RemoteCommand id\n  ControlMaster auto\n  LocalForward 1 h:2\n",
        USUAL + "  Ciphers +aes128-cbc\n",
        USUAL + "  HostKeyAlgorithms ^ecdsa-sha2-nistp256\n  Compression yes\n  AddressFamily inet\n",
        "Include conf.d/*\nInclude missing\n",
        "Host w* !web2\n  Include conf.d/*\n",
    ],
)
def test_a_configuration_is_read_as_openssh_reads_it(home: Home, with_ssh: bool, config: str) -> None:
    def prepare(server: SshServer) -> None:
        home.write("config", config.replace("{port}", str(server.port)))
        home.write("conf.d/web", USUAL.format(port=server.port))
        home.write("garbage", "no key")
        home.write("known_hosts", known(server))

    visit(home.server(), prepare)


@pytest.mark.parametrize("condition", ['exec "test %n = web1"', "originalhost web1 exec true"])
@NEEDS_SSH
def test_a_program_that_the_configuration_asks_is_run_by_ssh(home: Home, condition: str) -> None:
    def prepare(server: SshServer) -> None:
        home.write("config", f"Match {condition}\n Port {server.port}\n" + USUAL.replace("{port}", "1"))
        home.write("known_hosts", known(server))

    visit(home.server(), prepare)


def test_a_proxy_command_may_be_any_line_of_shell(home: Home, with_ssh: bool) -> None:
    """With tokens, a pipe and a #: to its end, the line is the command's."""
    relay = (
        "import socket, sys, threading, os; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); "
        "back = lambda: [os.write(1, b) for b in iter(lambda: s.recv(9999), b'')]; "
        "threading.Thread(target=back, daemon=True).start(); "
        "[s.sendall(b) for b in iter(lambda: os.read(0, 9999), b'')]"
    )

    def prepare(server: SshServer) -> None:
        command = f"/bin/cat | {sys.executable} -c \"{relay}\" 127.0.0.1 %p '#' | /bin/cat"
        home.write(
            "config",
            USUAL.format(port=server.port).replace("127.0.0.1", "nowhere.invalid") + f"  ProxyCommand {command}\n",
        )
        home.write("known_hosts", known(server, name="[nowhere.invalid]:{port}"))

    visit(home.server(), prepare)


def test_a_jump_of_the_system_is_made_with_the_settings_of_the_jump_host(home: Home, with_ssh: bool) -> None:
    """Its known_hosts, user and key too. It is in a file that only the system's configuration includes."""
    jump = home.server()

    async def story(server: SshServer) -> None:
        async with jump.running():
            (home.system / "ssh_config").write_text("Include ssh_config.d/*.conf\nHost *\n SendEnv LANG # all\n")
            (home.system / "ssh_config.d").mkdir()
            text = f"Host web1\n ProxyJump bastion:{jump.port}\nHost bastion\n HostName 127.0.0.1\n User ann\n Port 1\n"
            (home.system / "ssh_config.d/jump.conf").write_text(text + " IdentityFile ~/.ssh/id_test\n")
            home.write("config", USUAL.format(port=server.port))
            home.write("known_hosts", known(server) + known(jump, "ssh-rsa"))
            host = SshHost("a", "web1", user="bob", port=None, host_key=None, needs_root=False)
            assert (await host.run(Command("echo here"))).stdout == "here\n"
            await host.close()
            assert (jump.users[-1], server.users[-1]) == ("ann", "bob")

    served(home.server(), lambda server: None, story)


def test_a_host_that_jumps_to_itself_is_refused(home: Home, with_ssh: bool) -> None:
    home.write("config", "Host *\n ProxyJump web1\n")

    with pytest.raises(HostRefused, match=r"ProxyJump leads over more than|jumphost loop") as caught:
        visit(home.server(), lambda server: None)

    assert caught.value.next_step


@NEEDS_SSH
@pytest.mark.parametrize(
    ("file", "line"),
    [("config", "Prot 2222"), ("config", "Port 22x"), ("conf.d/web", "Prot 2222"), ("in_block", "Prot 2")],
)
def test_what_ssh_refuses_is_refused_with_file_and_line(home: Home, file: str, line: str) -> None:
    home.write("config", "# mine\nInclude conf.d/*\nHost *\nInclude in_block\n")
    home.write(file, f"# wrong:\n{line}\n")

    with pytest.raises(HostRefused) as caught:
        visit(home.server(), lambda server: None)

    assert f"{home.folder}/.ssh/{file}" in str(caught.value)
    assert "line 2: " in str(caught.value)
    assert line.split()[-1].lower() in str(caught.value) or "prot" in str(caught.value)
    assert caught.value.next_step


def test_what_was_passed_over_is_told_with_verbose(
    home: Home, with_ssh: bool, details: list[dict[str, object]]
) -> None:
    def prepare(server: SshServer) -> None:
        home.write(
            "config", "Match wonder yes\n Port 1\n" + USUAL.format(port=server.port) + " IdentityFile ~/.ssh/id_work\n"
        )
        home.write("known_hosts", "nonsense\n" + known(server))

    visit(home.server(), prepare)

    assert [(each["event"], Path(str(each["file"])).name, each.get("line")) for each in details] == [
        ("ssh_config.block_passed_over", "config", 1),
        ("known_hosts.line_passed_over", "known_hosts", 1),
        ("identity.passed_over", "id_work", None),
    ]


@dataclass
class Agent:
    socket: Path

    def add(self, *keys: asyncssh.SSHKey) -> None:
        for key in keys:
            command, data = ["ssh-add", "-q", "-"], key.export_private_key()
            subprocess.run(command, input=data, env={**os.environ, "SSH_AUTH_SOCK": str(self.socket)}, check=True)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    if not shutil.which("ssh-agent"):
        pytest.skip("needs ssh-agent")
    with tempfile.TemporaryDirectory() as folder:  # short enough for a socket
        socket = Path(folder, "agent")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        while not socket.exists():
            assert process.poll() is None
        yield Agent(socket)
        process.terminate()
        process.wait()


@pytest.mark.parametrize("more", ["", "  IdentitiesOnly yes\n", "  IdentityAgent {agent}\n"])
def test_the_named_key_of_an_agent_is_offered_first(
    home: Home, agent: Agent, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """By its public half in a file: sshd ends a login after six wrong keys."""
    others = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(8)]
    agent.add(*others, asyncssh.read_private_key(home.folder / ".ssh/id_test"))
    if not more.startswith("  IdentityAgent"):
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.socket))

    def prepare(server: SshServer) -> None:
        (home.folder / ".ssh/id_test").rename(home.folder / ".ssh/elsewhere")
        config = USUAL.format(port=server.port).replace("id_test", "id_test.pub")
        home.write("config", config + more.format(agent=agent.socket))
        home.write("known_hosts", known(server))

    server = home.server()
    visit(server, prepare)

    assert len(server.keys_offered) == 1


# --- host keys


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["known", "pinned", "hashed", "second file", "system", "alias", "any port", "pattern"])
def test_any_key_of_a_server_may_be_the_known_one(home: Home, kind: str, way: str) -> None:
    """Wherever it is known from."""
    pinned = [""]

    def prepare(server: SshServer) -> None:
        lines = USUAL.format(port=server.port)
        more = {
            "second file": "  UserKnownHostsFile ~/.ssh/known_hosts ~/.ssh/more\n",
            "alias": "  HostKeyAlias other\n",
        }
        home.write("config", lines + more.get(way, ""))
        if way == "system":
            (home.system / "known").write_text(known(server, kind))
            (home.system / "ssh_config").write_text(f"GlobalKnownHostsFile {home.system}/known\n")
        elif way == "pinned":
            pinned[0] = server.public_keys[kind]
            home.write("known_hosts", known(server, KINDS[KINDS.index(kind) - 1]))
        else:
            name = {"alias": "other", "any port": "127.0.0.1", "pattern": "[127.0.*]:*,!*.org"}.get(
                way, "[127.0.0.1]:{port}"
            )
            home.write("more" if way == "second file" else "known_hosts", known(server, kind, name))
        if way == "hashed":
            subprocess.run(
                ["ssh-keygen", "-q", "-H", "-f", home.folder / ".ssh/known_hosts"], check=True, capture_output=True
            )

    server = home.server()

    async def story(server: SshServer) -> None:
        host = SshHost("a", "web1", user=None, port=None, host_key=pinned[0] or None, needs_root=False)
        await host.open()
        await host.close()

    served(server, prepare, story)


@pytest.mark.parametrize("way", ["none", "other", "revoked", "revoked and pinned", "off"])
def test_a_key_that_nobody_vouches_for_is_refused(home: Home, way: str) -> None:
    async def story(server: SshServer) -> None:
        config = USUAL.format(port=server.port)
        home.write("config", config + ("  UserKnownHostsFile /dev/null\n" if way == "off" else ""))
        text = {
            "none": "",
            "other": "[127.0.0.1]:{port} " + home.public_key,
            "revoked": known(server) + "@revoked * " + server.public_keys["ssh-ed25519"],
            "off": known(server),
        }
        home.write("known_hosts", text.get(way, text["revoked"]).replace("{port}", str(server.port)) + "\n")
        key = server.public_keys["ssh-ed25519"] if "pinned" in way else None
        host = SshHost("a", "web1", user=None, port=None, host_key=key, needs_root=False)
        with pytest.raises(HostKeyRefused) as caught:
            await host.open()
        assert caught.value.next_step

    served(home.server(), lambda server: None, story)


def shown(home: Home, server: SshServer, known_hosts: Callable[[SshServer], str]) -> ShownKey:
    keys = list[ShownKey]()

    async def story(server: SshServer) -> None:
        home.write("config", USUAL.format(port=server.port) + "  User ann\n")
        home.write("known_hosts", known_hosts(server))
        keys.append(await ask_host_key("a", "web1", None))

    served(server, lambda server: None, story)
    return keys[0]


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:2], KINDS[:1]])
def test_an_unknown_server_is_asked_for_the_key_that_openssh_prefers(home: Home, kinds: tuple[str, ...]) -> None:
    key = shown(home, SshServer(host_keys=kinds), lambda server: "")

    assert (key.line.split()[0], key.known, key.login) == (kinds[-1], "unknown", "ann")


def test_a_key_that_a_known_authority_signed_is_known_to_bootstrap_and_login(home: Home) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    line = f"@cert-authority [127.0.0.1]:* {authority.export_public_key().decode()}"

    key = shown(home, SshServer(host_keys=KINDS, signed_by=authority), lambda server: line)

    assert (key.line.split()[0], key.known) == ("ssh-ed25519", "known")

    def prepare(server: SshServer) -> None:
        home.write("config", USUAL.format(port=server.port))
        home.write("known_hosts", line)

    visit(home.server(signed_by=authority), prepare)


@pytest.mark.parametrize("signed", [True, False])
def test_a_key_that_no_known_authority_signed_is_unknown(home: Home, signed: bool) -> None:
    other, authority = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    line = f"@cert-authority * {authority.export_public_key().decode()}"

    key = shown(home, SshServer(host_keys=KINDS, signed_by=other if signed else None), lambda server: line)

    assert key.known == "unknown"


# --- the program


def fake_ssh(tmp_path: Path, script: str) -> str:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program.parent)


def test_ssh_is_not_run_for_a_configuration_without_effect(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian's own, and `Host *` with `SendEnv`: a process for each host would cost for nothing."""
    monkeypatch.setenv("PATH", fake_ssh(tmp_path, "exit 9"))
    (home.system / "ssh_config").write_text(
        "Include ssh_config.d/*.conf\nHost *\n SendEnv LANG LC_*\n HashKnownHosts yes\n"
    )
    home.write("config", "# nothing\nHost *\n  ServerAliveInterval 10\n")

    settings = asyncio.run(ssh_resolve.resolve("a", "web1", None, 2222))

    assert (settings.hostname, settings.port) == ("web1", 2222)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exec sleep 60", "did not end within 0.5 s"),
        ("exec yes >&2", "did not end within 0.5 s"),
        ("printf 'a\\033b\\n' >&2; exit 255", r"a\\x1bb"),
    ],
)
def test_an_ssh_that_does_not_answer_is_told(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    monkeypatch.setenv("PATH", f"{fake_ssh(tmp_path, script)}:{os.environ['PATH']}")
    monkeypatch.setattr(ssh_resolve, "SECONDS", 0.5)
    home.write("config", USUAL)

    with pytest.raises(HostError, match=says) as caught:
        asyncio.run(ssh_resolve.resolve("a", "web1", None, None))

    assert caught.value.next_step


@NEEDS_SSH
def test_our_own_reading_agrees_with_ssh(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write(
        "config",
        f"""\
Host web* !web2
  HostName %h.example.org
  User "ann lee"
  IdentityFile ~/.ssh/a # one
  IdentityFile=~/.ssh/b
Match host *.example.org user ann*
  Port 2200
  ProxyJump bob@gate:22,second
Match final
  HostKeyAlias final.example.org
  IdentityFile ~/.ssh/late
Match all
  Port 9
  CertificateFile ~/.ssh/c
  IdentitiesOnly yes
  Compression yes
  IdentityAgent {home.folder}/agent
""",
    )
    monkeypatch.setattr(ssh_resolve, "read_narrowly", None)

    for address in ("web1", "web2", "other.example.org"):
        asked = asyncio.run(ssh_resolve.resolve("a", address, None, None, usual_user="root"))
        found, passed_over = read_narrowly(compose(), address, None)
        found.setdefault("user", ["root"])
        ours = settings_of(address, None, found)
        differing = {name for name, value in vars(asked).items() if vars(ours)[name] != value}
        assert differing <= {"host_key_algorithms", "kex_algorithms", "ciphers", "macs", "family", "pkcs11_provider"}, (
            ours
        )
        assert passed_over == []


def test_a_server_that_does_not_speak_is_told_as_such(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ssh_connect, hostkey):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)

    async def story() -> None:
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with silent:
            port = silent.sockets[0].getsockname()[1]
            home.write("known_hosts", f"[127.0.0.1]:{port} {home.public_key}\n")
            with pytest.raises(HostUnreachable, match="no answer in time"):
                await SshHost("a", "127.0.0.1", user=None, port=port, host_key=None).open()
            with pytest.raises(HostUnreachable, match="no answer in time"):
                await ask_host_key("a", "127.0.0.1", port)

    asyncio.run(story())


def test_few_programs_run_at_once_for_a_large_fleet(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv(
        "PATH", f"{fake_ssh(tmp_path, f'echo + >>{log}; sleep 0.05; echo - >>{log}')}:{os.environ['PATH']}"
    )
    monkeypatch.setattr(ssh_resolve, "AT_ONCE", 3)
    home.write("config", USUAL)

    async def story() -> None:
        await asyncio.gather(*(ssh_resolve.resolve("a", f"web{number}", None, None) for number in range(12)))

    asyncio.run(story())

    signs = [1 if sign == "+" else -1 for sign in log.read_text().split()]
    assert (len(signs), max(accumulate(signs))) == (24, 3)


def test_a_user_without_a_name_reads_the_configuration_without_ssh(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs with a number for a user: ssh itself does not run for one."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    home.write("config", USUAL.format(port=2222))

    assert asyncio.run(ssh_resolve.resolve("a", "web1", "ann", None)).port == 2222


def test_a_full_folder_for_temporary_files_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    home.write("config", USUAL.format(port=2222))

    with pytest.raises(HostRefused, match="No space left on device"):
        asyncio.run(ssh_resolve.resolve("a", "web1", "ann", None))
