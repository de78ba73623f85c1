"""`reconcile validate`: check the desired state with all its environments, and print every problem with its position.

Asks no host.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, replace
from typing import Any

from reconciler.colours import paint_message
from reconciler.desired_state.origin import origin_of
from reconciler.errors import InvalidDesiredState, Problem, ReconcileError
from reconciler.model.desired import Desired
from reconciler.model.options import Options
from reconciler.terminal import paint_for


def run(options: Options) -> int:
    """Return 0 when the desired state and all its environments are valid, else 2."""
    try:
        found = asyncio.run(_read_all(options))
    except ReconcileError as error:
        _report_error(error, as_json=options.json)
        return error.exit_code
    desired, *environments = found
    if options.json:
        others = {each.environment: _summary(each) for each in environments}
        _print_json({"ok": True, **_summary(desired), "problems": [], "environments": others})
        return 0
    paint = paint_for(sys.stdout)
    for each in found:
        _print_notes(each.notes)
        print(paint("ok", "good") + _sentence(each).removeprefix("ok"))
    return 0


async def _read_all(options: Options) -> list[Desired]:
    """The desired state that was asked for, and without --environment all environments after it.

    Raises InvalidDesiredState with the problems of all environments, and whatever else reading raises.
    """
    desired = await origin_of(options).read()
    found, problems = [desired], list[Problem]()
    for name in desired.environments if not options.environment else ():
        try:
            found.append(await origin_of(replace(options, environment=name)).read())
        except InvalidDesiredState as error:
            problems += error.problems
    if problems:
        raise InvalidDesiredState(tuple(sorted(set(problems))))
    noted = set[str]()
    for index, each in enumerate(found):
        notes = dict.fromkeys((*each.notes, *await _hints(each)))
        found[index] = replace(each, notes=tuple(note for note in notes if note not in noted))
        noted |= notes.keys()
    return found


async def _hints(desired: Desired) -> list[str]:
    from reconciler.artifact.hints import advice

    plain = [{key: value for key, value in app.env.items() if isinstance(value, str)} for app in desired.apps]
    asked = [advice(app, desired.folder, values) for app, values in zip(desired.apps, plain, strict=True)]
    return [hint for hints in await asyncio.gather(*asked) for hint in hints]


def _summary(desired: Desired) -> dict[str, Any]:
    return {
        "apps": [app.app for app in desired.apps],
        "hosts": list(desired.host_names()),
        "commit": desired.revision,
        "notes": list(desired.notes),
    }


def _sentence(desired: Desired) -> str:
    apps, hosts = len(desired.apps), len(list(desired.host_names()))
    source = f"commit {desired.revision[:7]}" if desired.revision else "files on disk"
    place = f" in {desired.environment}" if desired.environment else ""
    return f"ok: {_count(apps, 'app')} on {_count(hosts, 'host')}{place} ({source})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _report_error(error: ReconcileError, *, as_json: bool) -> None:
    problems = error.problems if isinstance(error, InvalidDesiredState) else ()
    if as_json:
        listed = [asdict(problem) for problem in problems]
        _print_json({"ok": False, "error": str(error), "next_step": error.next_step, "problems": listed})
        return
    paint = paint_for(sys.stderr)
    print(paint_message(str(error), paint), file=sys.stderr)
    _print_notes((paint_message(f"next: {error.next_step}", paint),) if error.next_step else ())


def _print_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(note, file=sys.stderr)


def _print_json(report: dict[str, Any]) -> None:
    print(json.dumps(report, indent=2, ensure_ascii=False))
