"""The units of a job: a template that runs it in a slot, a unit that finds the slot and waits, and a timer. Pure.

`APP--JOB@.service` is the template unit of the app's own slots, with a few lines replaced: so a job has the same user,
env and sandbox as an instance, whatever becomes of that template. `APP--JOB.service` runs it in the slot that serves,
and is active for as long as the run. `APP--JOB.timer` starts that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reconciler.model.machine import Scope
from reconciler.model.process_name import SEPARATOR
from reconciler.tools.forms import decide_blocks
from reconciler.tools.rendering import package_text, render, render_text
from reconciler.tools.script_text import strip
from reconciler.tools.systemd import UnitSettings

TIMER = "templates/job.timer.j2"
_EXEC = """ExecStart=/bin/sh -c 'eval "exec $$RECONCILE_JOB $$RECONCILE_ARGUMENTS"'"""
_ARGUMENTS = 'Environment="RECONCILE_JOB={{ command }}"\nEnvironmentFile=-{{ trial_env }}/{{ app }}/{{ job }}.now'
# The lines of an app's template unit that differ in a job's: how each begins, and what stands in its place.
_SHARED_LINES = {
    "# reconcile unit digest=": "# Written by reconcile for the job {{ job }} of {{ app }}; edits are put back.",
    "# Written by reconcile": "# %i = the slot whose release and env it runs with.",
    "Description=": "Description={{ app }}, job {{ job }}, with what is in slot %i",
    "# An accepted instance is restarted": None,
    "# an instance on trial differs": None,
    "StartLimitBurst=": None,
    "Type=exec": "Type=oneshot",
    "SyslogIdentifier=": "SyslogIdentifier={{ app }}--{{ job }}@%i",
    "EnvironmentFile=": "EnvironmentFile={{ layout.env }}/{{ app }}/%i.env\n" + _ARGUMENTS,
    "ExecStart=": _EXEC,
    "# systemd sends SIGTERM once": None,
    "# first seconds is sent it": None,
    "ExecStop=": None,
    "Restart=": None,
    "RestartSec=": None,
    "RestartSteps=": None,
    "RestartMaxDelaySec=": None,
    "TimeoutStartSec=": "TimeoutStartSec={{ within_seconds }}",
    "[Install]": None,
    "WantedBy=": None,
}
_LINES: dict[Scope, dict[str, str | None]] = {
    "system": {
        **_SHARED_LINES,
        "RuntimeDirectory=": "RuntimeDirectory={{ app }}/job.{{ job }}",
        "# The BEAM:": "# The BEAM: nothing written into the release, no node, and no dump of a crash.",
        "Environment=RELEASE_TMP=": "Environment=RELEASE_TMP=/run/{{ app }}/job.{{ job }}",
        "Environment=ERL_CRASH_DUMP=": "Environment=ERL_CRASH_DUMP_SECONDS=0",
        "# A node name of its own": None,
        "Environment=RELEASE_DISTRIBUTION=": "Environment=RELEASE_DISTRIBUTION=none",
    },
    "user": {
        **_SHARED_LINES,
        "RuntimeDirectory=": "RuntimeDirectory=apps/{{ app }}/job.{{ job }}",
        "# The BEAM:": "# The BEAM: nothing written into the release, no node, and no dump of a crash.",
        "Environment=RELEASE_NODE=": "Environment=RELEASE_TMP=%t/apps/{{ app }}/job.{{ job }}",
        "Environment=RELEASE_DISTRIBUTION=": "Environment=RELEASE_DISTRIBUTION=none ERL_CRASH_DUMP_SECONDS=0",
    },
}


@dataclass(frozen=True)
class JobSettings:
    """Everything that goes into the units of a job, beside what goes into the unit of its app."""

    name: str
    command: str
    at: str | None
    within_minutes: int
    catch_up: bool
    memory_max: str
    cpu_max: str | None


def job_files(job: JobSettings, unit: UnitSettings) -> dict[str, str]:
    """Return the units of a job, by the names of their files."""
    name = f"{unit.app}{SEPARATOR}{job.name}"
    shared = {"app": unit.app, "job": job.name, "layout": unit.layout, "trial_env": trial_env(unit.scope, unit.layout)}
    own = replace(unit, memory_max=job.memory_max, cpu_max=job.cpu_max)
    seconds, give_up_seconds = job.within_minutes * 60, unit.stop_seconds + 30
    words = {"within_seconds": seconds, "command": _escape(job.command), "listens": [], "proxy": False}
    values = vars(own) | {"writable_beside": own.writable_beside, "user": own.user} | words | shared
    files = {f"{name}@.service": render_text(job_template(unit.scope), **values)}
    starter = shared | {"scope": f"--{unit.scope}", "give_up_seconds": give_up_seconds}
    files[f"{name}.service"] = render_text(starter_template(), **starter)
    if job.at:
        timer = shared | {"at": job.at, "catch_up": job.catch_up}
        files[f"{name}.timer"] = render(TIMER, **timer)
    return files


def trial_env(scope: Scope, layout: dict[str, str]) -> str:
    """Return the folder that a reboot empties, as the scripts call it: prelude.sh and user.sh say the same."""
    if scope == "user":
        return "%t/reconcile"
    return "/run/reconcile" if layout["units"] == "/etc/systemd/system" else f"{layout['state']}/.run"


def starter_template() -> str:
    """Return the template of the unit that finds the slot: the script that it runs is a part of it."""
    lines = strip(package_text("templates/job.sh")).replace("%", "%%").splitlines()
    assert not any("\\" in line or "{{" in line for line in lines), "it would be changed on its way"
    program = "".join(f"StandardInputText={line}\n" for line in lines)
    return package_text("templates/job.service.j2").replace("{{ program }}", program)


def job_template(scope: Scope) -> str:
    """Return the template of the unit that runs a job in a slot, made from that of an instance."""
    if scope == "system":
        text = decide_blocks(package_text("templates/app@.service.j2"), proxy=False, node_host=False, has_port=False)
    else:
        text = decide_blocks(package_text("templates/user-app@.service.j2"), has_port=False)
    return _replace_lines(text, _LINES[scope])


def _replace_lines(text: str, lines: dict[str, str | None]) -> str:
    """Replace each line that begins so, or leave it out. Each must be there once: the template has not moved on."""
    result, used = list[str](), list[str]()
    for line in text.splitlines():
        begin = next((each for each in lines if line.startswith(each)), None)
        if begin is None:
            result.append(line)
            continue
        used.append(begin)
        if (other := lines[begin]) is not None:
            result.append(other)
    assert sorted(used) == sorted(lines), sorted(set(lines) ^ set(used)) or used
    return "\n".join(result).rstrip("\n") + "\n"


def _escape(command: str) -> str:
    """Return the command as it stands between double quotes in a unit, where % begins a specifier: in ASCII."""
    quoted = re.sub(r'(["\\])', r"\\\1", command).replace("%", "%%")
    return "".join(each if each.isascii() else f"\\U{ord(each):08x}" for each in quoted)
