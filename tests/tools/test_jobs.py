"""The units of a job: made from the unit of the app, and the only ones that the deploy user's guard takes."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile

import pytest

from reconciler.apply.runner import tar_of
from reconciler.model.machine import Layout, Scope
from reconciler.model.sandbox import Sandbox
from reconciler.tools.file_forms import file_forms
from reconciler.tools.host_program import verb_file
from reconciler.tools.jobs import JobSettings, job_files
from reconciler.tools.systemd import UnitSettings, unit_text

COMMAND = "bin/shop eval \"Shop.run('50%\\n')\" $X ü"


def unit(scope: Scope = "system", **changes: object) -> UnitSettings:
    usual = {
        "app": "shop",
        "layout": Layout().model_dump(),
        "sandbox": Sandbox().model_dump(),
        "stop_seconds": 30,
        "memory_max": "40%",
        "distribution": "sname",
        "node_host": "127.0.0.1",
        "has_port": True,
        "ports": (4000, 4001),
        "scope": scope,
        "after": ("postgresql.service",) if scope == "system" else (),
    }
    return UnitSettings(**{**usual, **changes})  # type: ignore[arg-type]


JOB = JobSettings("nightly", COMMAND, "*-*-* 03:00 Europe/Vienna", 30, True, "1G", "50%")


def sandbox_lines(text: str) -> list[str]:
    return [
        line
        for line in text.partition("# The sandbox")[2].partition("[Install]")[0].splitlines()
        if re.match("[A-Z]", line) and not line.startswith("SocketBindAllow=")
    ]


@pytest.mark.parametrize("scope", ["system", "user"])
def test_a_job_has_the_user_the_env_and_the_sandbox_of_an_instance(scope: Scope) -> None:
    app, job = unit_text(unit(scope)), job_files(JOB, unit(scope))["shop--nightly@.service"]

    assert sandbox_lines(app) == sandbox_lines(job) != []
    for key in ("User", "StateDirectory", "WorkingDirectory", "After", "UMask"):
        assert re.findall(f"^{key}=.*", app, re.M)[:1] == re.findall(f"^{key}=.*", job, re.M)[:1]
    assert "\nMemoryMax=1G\nCPUQuota=50%\n" in job
    assert "\nTimeoutStartSec=1800\n" in job
    assert not re.search(r"PORT=|RELEASE_NODE|epmd|Restart=|Install|ExecStop", job)


def test_the_command_arrives_in_the_unit_as_it_was_written() -> None:
    (line,) = re.findall('^Environment="RECONCILE_JOB=(.*)"$', job_files(JOB, unit())["shop--nightly@.service"], re.M)

    assert line.isascii()
    unquoted = re.sub(r"\\U([0-9a-f]{8})", lambda found: chr(int(found[1], 16)), line)
    assert re.sub(r'\\(["\\])', r"\1", unquoted).replace("%%", "%") == COMMAND


def test_a_job_without_a_time_has_no_timer() -> None:
    by_hand = JobSettings("nightly", COMMAND, None, 30, False, "1G", None)
    assert sorted(job_files(by_hand, unit())) == ["shop--nightly.service", "shop--nightly@.service"]


def forms() -> dict[str, str]:
    """The forms of a job's units, as the program on a host has them."""
    found = file_forms(Layout().model_dump())
    return {
        name: found[name].replace("@APP@", "shop").replace("@JOB@", "nightly").replace("@USER@", "shop")
        for name in KINDS.values()
    }


KINDS = {"@.service": "JOB_FORM", ".service": "STARTER_FORM", ".timer": "TIMER_FORM"}


@pytest.mark.parametrize("ending", KINDS)
def test_the_guard_takes_what_we_write_and_nothing_else(ending: str) -> None:
    form, text = forms()[KINDS[ending]], job_files(JOB, unit())[f"shop--nightly{ending}"]

    assert re.fullmatch(form, text)
    for line in text.splitlines():
        for other in (f"{line}\nExecStartPre=+/bin/sh", "", f"{line} x\nUser=root"):
            if line and not line.startswith("#"):
                assert not re.fullmatch(form, text.replace(f"{line}\n", f"{other}\n", 1)), line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("User=shop", "User=root"),
        ("job.nightly", "job.other"),
        ("ü", 'x" LD_PRELOAD=/x "'),
        ("50%%", "50%h"),
        ("EnvironmentFile=-/run/reconcile/shop/nightly.now", "EnvironmentFile=-/etc/shadow"),
    ],
)
def test_the_guard_refuses_a_job_that_is_more(before: str, after: str) -> None:
    text = job_files(JOB, unit())["shop--nightly@.service"].replace("\\U000000fc", "ü")
    assert before in text

    changed = text.replace(before, after, 1).replace("ü", "\\U000000fc")

    assert not re.fullmatch(forms()["JOB_FORM"], changed)


def judged(files: dict[str, str], app: str = "shop") -> str:
    """What the guard of a host says of a tar of these; "" if it takes them, and then it hands on the same."""
    head = verb_file(Layout()).partition("[ $# -ge 2 ]")[0]
    words = ["sh", "-c", f"{head}\napp={app}; stdin_jobs; cat"]
    done = subprocess.run(words, input=tar_of(files), capture_output=True, check=False)
    if done.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as handed_on:
            assert sorted(handed_on.getnames()) == sorted(files)
    return done.stderr.decode().strip() if done.returncode else ""


def test_the_guard_of_a_host_takes_the_units_of_all_jobs_and_those_of_none() -> None:
    other = JobSettings("re-index", "bin/x", None, 60, False, "40%", None)
    plain = unit(node_host="", after=())

    assert judged(job_files(JOB, unit()) | job_files(other, unit())) == ""
    assert judged(job_files(JOB, plain)) == ""
    assert judged({}) == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shop--nightly@.socket", "something else than units of jobs"),
        ("cron.service", "something else than units of jobs"),
        ("shop--a--b.service", "bears a name that no job may have"),
        ("shop--worker.service", "bears a name that no job may have"),
        ("shop--../x.service", "bears a name that no job may have"),
        ("shop--other.service", "unit of a job is not of the form"),
    ],
)
def test_the_guard_of_a_host_refuses_other_files(name: str, says: str) -> None:
    text = job_files(JOB, unit())["shop--nightly.service"]
    assert says in judged({name: text})


def test_the_guard_of_a_host_gives_no_jobs_to_traefik_and_no_rights_that_only_root_gives() -> None:
    strong = unit(sandbox={**Sandbox().model_dump(), "capabilities": ("CAP_SYS_ADMIN",)})

    assert "Traefik has no jobs" in judged({}, "traefik")
    assert "may not have CAP_SYS_ADMIN" in judged(job_files(JOB, strong))


@pytest.mark.parametrize("scope", ["system", "user"])
def test_the_unit_that_finds_the_slot_has_nothing_of_the_logins_environment(scope: Scope) -> None:
    """With POSIXLY_CORRECT in the environment of a login, systemctl takes its options for units."""
    starter = job_files(JOB, unit(scope))["shop--nightly.service"]

    assert "\nExecStart=/usr/bin/env -i PATH=/usr/bin:/bin LC_ALL=C XDG_RUNTIME_DIR=%t /bin/sh -s " in starter
