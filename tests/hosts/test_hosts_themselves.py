"""The throw-away hosts do what the other tests rely on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from tests.support.child import killed_at_the_end

from .conftest import MachineFactory
from .delay_proxy import DelayProxy
from .farm import FARMS, Farm
from .load import Load, Stream, Target, usual_streams
from .machine import SSH_PORT, Machine
from .process import HostsError, command, wait_until
from .proxy import API_PORT, ask_api

pytestmark = pytest.mark.hosts

GREETING = "Welcome to web1\n\033]0;web1\007"  # of its start-up files
BOOT_SECONDS = 20  # 0.4 s on an idle machine; a busy one may be far slower
ROUTE = """\
http:
  routers: {load: {rule: "Host(`load.test`)", service: ping@internal}}
"""


@pytest.fixture
def spare(farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    """A host without Traefik that a test may break."""
    machine = machine_factory("spare", with_traefik=False)
    yield machine
    farm.remove(machine)


def boot_id(machine: Machine) -> str:
    return machine.run("cat /proc/sys/kernel/random/boot_id", seconds=5).stdout


def test_a_host_boots_quickly_without_a_failed_unit(farm: Farm) -> None:
    """sshd answers within seconds, no unit failed, and no program is installed that a server may lack."""
    begin = time.monotonic()
    machine = farm.add("quick")
    seconds = time.monotonic() - begin

    try:
        assert seconds < BOOT_SECONDS
        assert machine.run("systemctl is-system-running --wait").stdout == "running\n"
        assert machine.run("hostname; cat /proc/1/comm").stdout == "quick\nsystemd\n"
        assert machine.run("command -v python3 curl wget ip ss apt", check=False).stdout == ""
    finally:
        farm.remove(machine)


def test_a_reboot_keeps_the_disk(spare: Machine) -> None:
    """A reboot is a new boot of the same disk: files and enabled units stay, memory is lost."""
    spare.write("/srv/kept", "yes")
    spare.write("/run/lost", "yes")
    before = boot_id(spare)

    spare.reboot()

    assert boot_id(spare) != before
    assert spare.run("cat /srv/kept; ls /run/lost 2>&1", check=False).stdout.startswith("yes")
    assert "No such file" in spare.run("ls /run/lost", check=False).stderr


def test_a_host_can_reboot_itself(spare: Machine, farm: Farm) -> None:
    """Nobody has to help: `ssh host reboot` is enough."""
    before = boot_id(spare)

    farm.ssh("spare", "systemctl reboot")

    def booted_anew() -> bool:
        with contextlib.suppress(HostsError):  # it is between two boots
            return boot_id(spare) != before
        return False

    wait_until(booted_anew, 40, "the host boots again")
    spare.wait_until_reachable()


def test_a_power_cut_ends_every_process_at_once_and_keeps_the_disk(spare: Machine) -> None:
    """The other end of a connection hears nothing of a power cut, and a reset once the host is back."""
    spare.run("echo yes >/srv/kept; sync -f /srv/kept")
    with socket.create_connection((spare.address, SSH_PORT), 5) as connection:
        connection.recv(100)
        connection.settimeout(0.5)

        spare.power_off_hard()

        assert not spare.running
        with pytest.raises(TimeoutError):
            connection.recv(1)
        spare.boot()
        spare.wait_until_reachable()
        assert spare.read("/srv/kept") == "yes\n"
        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):
            connection.sendall(b"SSH-2.0-late\r\n")
            connection.recv(1)


def test_a_cut_link_hangs_and_a_restored_one_goes_on(spare: Machine) -> None:
    """Packets vanish: no refusal, no reset, no unreachable; the connection lives on when the link is back."""
    with socket.create_connection((spare.address, SSH_PORT), 5) as connection:
        connection.recv(100)
        connection.settimeout(1)

        spare.cut_link()

        with pytest.raises(TimeoutError):
            socket.create_connection((spare.address, SSH_PORT), 4)
        connection.sendall(b"not ssh\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert spare.run("hostname").stdout == "spare\n"
        spare.heal_link()
        connection.settimeout(20)
        assert b"Invalid SSH" in connection.recv(100)


def test_a_full_disk_is_full_until_it_is_freed(spare: Machine) -> None:
    """The guest gets the kernel's own error, and all is well afterwards."""
    spare.fill_disk(free_bytes=1024 * 1024)

    written = spare.run("head -c 2000000 /dev/zero >/srv/big", check=False)

    assert "No space left on device" in written.stderr
    spare.free_disk()
    spare.run("head -c 2000000 /dev/zero >/srv/big; sync -f /srv/big")


def test_ssh_is_strict_and_lets_root_and_deploy_in(machine: Machine, farm: Farm) -> None:
    """The key is known beforehand; a host that shows another one is refused; `deploy` has sudo."""
    assert farm.ssh("web1", "id -un").stdout == f"{GREETING}root\n"
    assert farm.ssh("deploy@web1", "id -un; sudo id -un").stdout == f"{GREETING}deploy\nroot\n"

    known_hosts = farm.home / ".ssh/known_hosts"
    right = known_hosts.read_text()
    wrong = (machine.folder.parent.parent / "home/.ssh/id_ed25519.pub").read_text().split()[1]
    try:
        known_hosts.write_text(right.replace(machine.host_key.split()[1], wrong))
        refused = farm.ssh("web1", "true")
    finally:
        known_hosts.write_text(right)

    assert (refused.returncode, "Host key verification failed" in refused.stderr) == (255, True)


def test_asyncssh_finds_the_host_through_home(
    machine: Machine, ssh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HOME set, nothing but the name is needed: ~/.ssh/config, key and known_hosts are found there."""
    monkeypatch.setenv("HOME", str(ssh_home))

    async def ask() -> str:
        async with asyncssh.connect(machine.name) as connection:
            return str((await connection.run("hostname", check=True)).stdout)

    assert asyncio.run(ask()) == f"{GREETING}web1\n"


def test_traefik_serves_and_its_api_stays_inside(machine: Machine) -> None:
    """Port 80 answers 404 to all, the API answers on the guest's loopback alone, and the sandbox holds."""
    load = Load(Target(machine.address, "nobody.test"), [Stream("one", 10)], max_requests=1)
    asyncio.run(load.run())

    assert [sample.status for sample in load.samples] == [404]
    assert '"routers"' in ask_api(machine, "/api/overview")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((machine.address, API_PORT), 2)
    exposure = machine.run("systemd-analyze security traefik --no-pager | tail -1").stdout
    assert float(exposure.split(": ")[1].split()[0]) <= 1.5
    assert machine.run("ps -o user= -C traefik").stdout.strip() == "traefik"


def test_load_counts_what_visitors_see(machine: Machine) -> None:
    """No request to a route fails; the loss of a route is seen at once; nothing is retried."""
    machine.run("mkdir -p /etc/traefik/staging")
    machine.write("/etc/traefik/staging/load.yml", ROUTE)
    machine.run("mv /etc/traefik/staging/load.yml /etc/traefik/dynamic/load.yml")
    wait_until(lambda: ask_api(machine, "/api/http/routers/load@file"), 40, "the route is applied")

    target = Target(machine.address, "load.test")
    with Load(target, usual_streams(200, slow_path="/")).running() as load:
        time.sleep(2)
        quiet = len(load.failures)
        machine.run("rm /etc/traefik/dynamic/load.yml")
        time.sleep(0.5)

    assert quiet == 0, load.summary()
    assert {sample.status for sample in load.failures} == {404}, load.summary()
    assert 0.7 < len(load.samples) / (200 * load.samples[-1].at) < 1.1, load.summary()


def test_load_records_refused_connections_as_failures(machine: Machine) -> None:
    """A refused connection is a failure with its time and its error."""
    load = Load(Target(machine.address, "load.test", 81), [Stream("one", 50)], max_requests=10)

    asyncio.run(load.run())

    assert (len(load.failures), load.ended_early) == (10, "ended by itself after 10 requests")
    assert all("ConnectionRefused" in sample.error for sample in load.failures)


def test_the_proxy_adds_distance_cuts_and_falls_silent(machine: Machine) -> None:
    """An answer takes the round trips it would take; a cut is a reset; silence closes nothing."""
    with DelayProxy(machine.address, SSH_PORT, round_trip_seconds=0.2).running() as proxy:
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
            assert connection.recv(4) == b"SSH-"
            assert 0.28 < time.monotonic() - begin < 1

            proxy.cut_after(10)
            with pytest.raises(ConnectionResetError):
                for _ in range(50):
                    connection.sendall(b"0123456789")
                    time.sleep(0.05)
        assert proxy.bytes_up == 10

        proxy.black_hole()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
            connection.settimeout(1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            proxy.heal()
            connection.settimeout(5)
            assert connection.recv(4) == b"SSH-"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_nothing_behind(farm: Farm, end: signal.Signals) -> None:
    """However a run ends, its hosts end with it: folders, cables, namespaces and processes."""
    top = Path(__file__).resolve().parents[2]
    make = "from tests.hosts.farm import Farm; farm = Farm.create(); machine = farm.add('orphan')"
    tell = "print(farm.folder.name, machine.link.name, flush=True); import time; time.sleep(60)"
    words = [sys.executable, "-c", f"{make}; {tell}"]
    with killed_at_the_end(subprocess.Popen(words, cwd=top, stdout=subprocess.PIPE, text=True)) as run:
        assert run.stdout is not None
        folder, link = run.stdout.readline().split()
        assert Path("/run/netns", link).exists()

        run.send_signal(end)
        run.wait(20)

    wait_until(lambda: not (FARMS / folder).exists(), 40, "the farm of the killed run is removed")
    left = [
        Path("/run/netns", link),
        Path("/sys/class/net", link),
        Path("/sys/class/net", link.split("-")[0]),
    ]
    assert [path for path in left if path.exists()] == []
    assert f"--machine={link} " not in command(["ps", "-eo", "args"]).stdout
    assert str(FARMS / folder) not in Path("/proc/mounts").read_text()
