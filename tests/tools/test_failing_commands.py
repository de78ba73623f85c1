"""Every command of every script that changes something, made to fail once.

A script says 0 only if all of its effect is there, else why not; and the next run of it does the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.apply.runner import tar_of
from reconciler.model.machine import Layout
from reconciler.tools.traefik import default_text
from tests.support.failing_host import Ended, FailingHost, saved
from tests.support.shell import script_names

APP, SLOT, OTHER = "hello", "4000", "4001"
OLD, NEW = "1-0123456789ab", "2-0123456789ab"
UNIT, OTHER_UNIT = f"{APP}@{SLOT}.service", f"{APP}@{OTHER}.service"

# What may fail and leave something behind; with the reason.
HARMLESS = {
    "rm -f state/.run/hello/4000.unit": "a copy of a unit that no systemd reads, and a reboot takes away",
    f"rm -rf releases/{APP}/releases/.incoming-": "the next install clears it, and a look shows that it can be pruned",
    f"rm -rf env/{APP}/.stage": "a folder of root's that the next script clears",
    "mkdir -m 0700 .reconcile": "route files are then written in the watched folder itself, under a name with a dot",
    f"rmdir releases/{APP}": "an empty folder of ours",
    f"systemd-run --wait --collect --unit={APP}-hook.service": "it has failed, and is not tried again",
    f"mv -T state/{APP}/hook.done": "systemd has done it before; else the hook is said to have been cut off",
}
# Whether these fail cannot be seen in a folder: a script that says 0 has not noticed.
UNSEEN = ("sync", "touch")


def env(release: str) -> str:
    return f'# reconcile {release}/e/u\nRECONCILE_INSTANCE="{release}/e/u"\n'


def unit(layout: Layout) -> str:
    return (
        f"[Service]\nEnvironmentFile={layout.env}/{APP}/%i.env\nWorkingDirectory={layout.releases}/{APP}/slots/%i\n"
        "RestartSec=1\nRestartSteps=5\nStartLimitIntervalSec=0\n"
    )


def route(slot: str, *passwords: str) -> bytes:
    basic = '      basicAuth: {"realm": "x", "usersFile": "y"}\n' if passwords else ""
    tail = "".join(f"{each}\n" for each in passwords) + "# end\n" if passwords else ""
    return f"# reconcile route slot={slot} x\n{basic}# end\n{tail}".encode()


PROGRAM = b"#!/bin/sh\n"


def upload(*paths: str, held: str = "") -> tuple[tuple[str, ...], bytes]:
    """The words of an install and its stdin: a release of these files, all alike. Those held are copied there."""
    folders = sorted({path.rpartition("/")[0] for path in paths} - {""})
    sums = "".join(f"{hashlib.sha256(PROGRAM).hexdigest()}  ./{path}\n" for path in paths)
    tree = "".join(sorted([f"d 755 ./{each}\t\n" for each in folders] + [f"f 755 ./{path}\t\n" for path in paths]))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in () if held else (*folders, *paths):
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            member.type = tarfile.DIRTYPE if name in folders else tarfile.REGTYPE
            member.size = 0 if member.isdir() else len(PROGRAM)
            archive.addfile(member, io.BytesIO(PROGRAM))
    manifest = gzip.compress((sums + tree + held).encode())
    return (str(len(manifest)), str(len(sums)), str(len(tree)), "1+3", "new", "-", "-"), manifest + buffer.getvalue()


def install(release: str, *paths: str, held: str = "") -> Step:
    words, stdin = upload(*paths, held=held)
    return act("install", APP, release, *words, stdin=stdin)


class Step(Protocol):
    """Something that is done to a host, in which the call of a number is made to fail."""

    def __call__(self, host: FailingHost, failing: int = -1) -> Ended: ...


def install_folder(host: FailingHost, failing: int = -1) -> Ended:
    """Both releases are on the host, without an upload."""
    for release in (OLD, NEW):
        program = host.path(f"releases/{APP}/releases/{release}/erts-1/bin/epmd")
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return Ended(0, "", "")


def files(host: FailingHost, release: str, **more: str) -> bytes:
    return tar_of({"env": env(release), "unit": unit(host.layout), **more})


def start(release: str, slot: str, **more: str) -> Step:
    def step(host: FailingHost, failing: int = -1) -> Ended:
        before = host.invocation(f"{APP}@{slot}.service")
        stdin = files(host, release, **more)
        return host.run("start", APP, slot, release, before, "-", "due", stdin=stdin, failing=failing)

    return step


def act(name: str, *words: str, of: str = "", stdin: bytes = b"", last: tuple[str, ...] = ()) -> Step:
    """The script with these words, then the last run of the unit `of`, then the last words."""

    def step(host: FailingHost, failing: int = -1) -> Ended:
        run = (host.invocation(of),) if of else ()
        return host.run(name, *words, *run, *last, stdin=stdin, failing=failing)

    return step


CUTOVER = act("cutover", APP, SLOT, of=UNIT, stdin=route(SLOT))
LIVE = (install_folder, start(OLD, SLOT), CUTOVER)  # the old release serves from the first slot
REASON = f"{NEW}/e/u/x\nit did not get healthy\n".encode()


@dataclass(frozen=True)
class Case:
    """A script that runs on a host on which this was done before, and what goes on if it failed: often itself."""

    before: tuple[Step, ...]
    step: Step
    then: Step | None = None


def repair(host: FailingHost, failing: int = -1) -> Ended:
    words = (APP, SLOT, NEW, host.invocation(UNIT))
    return host.run("repair", *words, stdin=files(host, NEW), failing=failing)


def open_to_others(host: FailingHost, failing: int = -1) -> Ended:
    """Somebody changed the modes of what is ours, for better or worse."""
    modes = {f"env/{APP}/{SLOT}.env": 0o644, f"state/{APP}/owner": 0o666, f"releases/{APP}/releases/{OLD}": 0o700}
    modes |= {f"units/{APP}@.service": 0o600, f"traefik/{APP}.htpasswd": 0o644, f"traefik/{APP}.yml": 0o666}
    for name, mode in modes.items():
        host.path(name).chmod(mode)
    return Ended(0, "", "")


def reject(host: FailingHost, failing: int = -1) -> Ended:
    words = (APP, SLOT, NEW, host.invocation(UNIT), "-", "due")
    return host.run("reject", *words, stdin=REASON, failing=failing)


def go_on_after_reject(host: FailingHost, failing: int = -1) -> Ended:
    """As a controller would that looked again: the old version is started again where it is not on trial any more."""
    if host.path(f"state/.run/{APP}/{SLOT}.env").exists() or not host.path(f"env/{APP}/{SLOT}.env").exists():
        return reject(host)
    return act("again", APP, SLOT, of=UNIT)(host)


def traefik(host: FailingHost, failing: int = -1) -> Ended:
    stdin = files(host, OLD, certificate="KEY\n", default=default_text())
    return host.run("start", APP, SLOT, OLD, host.invocation(UNIT), "-", "none", stdin=stdin, failing=failing)


TO_OTHER = act("cutover", APP, OTHER, of=OTHER_UNIT, stdin=route(OTHER))
BACK = tar_of({"route": route(SLOT).decode(), "reason": REASON.decode()})
MIGRATION = tar_of({"env": env(NEW), "unit": "[Service]\n"})
JOB = tar_of({f"{APP}--nightly{end}": f"{end}\n" for end in ("@.service", ".service", ".timer")})
ENDED = (*LIVE, act("unroute", APP), act("stop", APP, SLOT, of=UNIT))
SCHEDULE = act("schedule", APP, stdin=JOB)
BALANCE = act("balance", APP, stdin=route(SLOT))
ADD_PASSWORDS = act("cutover", APP, SLOT, of=UNIT, stdin=route(SLOT, "me:hash"))
CASES = {
    "install": Case((), install(NEW, "bin/x")),
    "install, of what is here": Case((install(OLD, "a/x"),), install(NEW, "a/x", "b/x", "y", held="7 1-2\n8 3\n")),
    "start, the first": Case((install_folder,), start(OLD, SLOT)),
    "start, beside another": Case(LIVE, start(NEW, OTHER)),
    "start, of what is accepted": Case(LIVE, start(OLD, SLOT)),
    "start, with a port mapper": Case((install_folder,), start(OLD, SLOT, epmd="[Service]\n")),
    "start, with a certificate": Case((install_folder,), traefik),
    "again": Case((*LIVE, act("stop", APP, OTHER, "")), act("again", APP, SLOT, of=UNIT)),
    "cutover, the first": Case(LIVE[:2], CUTOVER),
    "cutover, to another": Case((*LIVE, start(NEW, OTHER)), TO_OTHER),
    "cutover, with passwords": Case(LIVE, ADD_PASSWORDS),
    "cutover, without passwords": Case((*LIVE, ADD_PASSWORDS), CUTOVER),
    "balance, the first": Case((), BALANCE),
    "balance, with passwords": Case((BALANCE,), act("balance", APP, stdin=route(OTHER, "me:hash"))),
    "enable": Case(LIVE[:2], act("enable", APP, SLOT, of=UNIT, last=("old.service",))),
    "goback": Case(
        (*LIVE, start(NEW, OTHER), TO_OTHER),
        act("goback", APP, SLOT, of=UNIT, last=("due",), stdin=BACK),
    ),
    "reject, of a first version": Case((install_folder, start(NEW, SLOT)), reject),
    "reject, in the place of another": Case((*LIVE, act("unroute", APP), start(NEW, SLOT)), reject, go_on_after_reject),
    "repair": Case(LIVE, repair),
    "restore": Case((*LIVE, ADD_PASSWORDS, open_to_others), act("restore", APP)),
    "stop": Case((*LIVE, act("unroute", APP)), act("stop", APP, SLOT, of=UNIT)),
    "stop, the last with a port mapper": Case(
        (install_folder, start(OLD, SLOT, epmd="[Service]\n")), act("stop", APP, SLOT, of=UNIT)
    ),
    "unroute": Case((*LIVE, ADD_PASSWORDS), act("unroute", APP)),
    "prune": Case(LIVE, act("prune", APP, NEW, ".incoming-3")),
    "remove": Case((*LIVE, ADD_PASSWORDS, act("unroute", APP), act("stop", APP, SLOT, of=UNIT)), act("remove", APP)),
    "schedule, the first": Case(LIVE, SCHEDULE),
    "schedule, of nothing": Case((*LIVE, SCHEDULE), act("schedule", APP, stdin=tar_of({}))),
    "pause suspend": Case((*LIVE, SCHEDULE), act("pause", APP, "nightly", "suspend", "0", stdin=b"why\n")),
    "pause resume": Case(
        (*LIVE, SCHEDULE, act("pause", APP, "nightly", "suspend", "0", stdin=b"why\n")),
        act("pause", APP, "nightly", "resume", "0"),
    ),
    "remove, with jobs": Case((*ENDED, SCHEDULE), act("remove", APP)),
    "migrate": Case((install_folder,), act("migrate", APP, NEW, "-", "30", "x", "30", "due", stdin=MIGRATION)),
    "hook": Case((*LIVE, start(NEW, OTHER)), act("hook", APP, "after_rollout", NEW, "30", stdin=MIGRATION)),
    "mark suspend": Case(LIVE, act("mark", APP, "suspend", "60", stdin=b"why\n")),
    "mark resume": Case((*LIVE, act("mark", APP, "suspend", "60", stdin=b"why\n")), act("mark", APP, "resume", "0")),
    "mark reject": Case(LIVE, act("mark", APP, "reject", "0", stdin=REASON)),
    "mark retry": Case((*LIVE, act("mark", APP, "reject", "0", stdin=REASON)), act("mark", APP, "retry", "0")),
    "mark adopt": Case(LIVE, act("mark", APP, "adopt", "0")),
    "finish": Case(LIVE, act("finish", "free", stdin=tar_of({APP: '{"who": "me"}\n'}))),
}  # fmt: skip
# How each script begins is the same: here it is made to fail, elsewhere what follows.
WHOLE = (CASES["start, the first"], CASES["again"], CASES["finish"])
CHANGE_NOTHING = {"await", "drain"}
ELSEWHERE = {
    "fetch": "tests/hosts/stories/test_story_fetch.py, since it needs a server, and begins and ends as install does",
}


def test_every_script_that_changes_something_is_among_them() -> None:
    assert {name.split(",")[0].split()[0] for name in CASES} - {"finish"} == (
        set(script_names("change")) | {"migrate"}
    ) - CHANGE_NOTHING - set(ELSEWHERE)


def end_of_preamble(calls: list[str]) -> int:
    """The number of the first call after those of `begin_change`."""
    return calls.index(f"cat state/{APP}/commit") + 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_script_says_that_it_is_done_only_if_it_is(case: Case, tmp_path: Path) -> None:
    """Each call of a command is made to fail. What the script says then is true, and the next one does the rest."""
    host = FailingHost(tmp_path / "it")
    host.make()
    for step in case.before:
        ended = step(host)
        assert ended.status == 0, ended
    put_back = saved(host, tmp_path / "before")
    assert case.step(host).status == 0
    wanted = host.snapshot()

    number, hidden = 0 if case in WHOLE else end_of_preamble(host.calls()), []
    while True:
        put_back()
        ended = case.step(host, failing=number)
        if not ended.failed:
            break
        number += 1
        where = f"call {number}, {ended.failed}: {ended}"
        harmless = any(ended.failed.startswith(each) for each in HARMLESS)
        if ended.status == 0:
            if not harmless and (host.snapshot() != wanted or ended.failed.split()[0] in UNSEEN):
                hidden.append(where)
            continue
        assert ended.stderr.strip(), where
        again = (case.then or case.step)(host)
        assert again.status == 0, (where, again)
        assert harmless or host.snapshot() == wanted, where
    assert hidden == []
