"""`reconcile validate`: check the desired state and print every problem with its position. Asks no host."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, replace
from typing import Any

from reconciler.colours import paint_message
from reconciler.desired_state.origin import origin_of
from reconciler.errors import InvalidDesiredState, ReconcileError
from reconciler.model.desired import Desired
from reconciler.model.options import Options
from reconciler.terminal import paint_for


def run(options: Options) -> int:
    """Return 0 when the desired state is valid, else 2."""
    try:
        desired, hints = asyncio.run(_read(options))
    except ReconcileError as error:
        _report_error(error, as_json=options.json)
        return error.exit_code
    desired = replace(desired, notes=(*desired.notes, *hints))
    if options.json:
        _print_json({"ok": True, **_summary(desired)})
        return 0
    _print_notes(desired.notes)
    paint = paint_for(sys.stdout)
    print(paint("ok", "good") + _sentence(desired).removeprefix("ok"))
    return 0


async def _read(options: Options) -> tuple[Desired, list[str]]:
    from reconciler.artifact.hints import advice

    desired = await origin_of(options).read()
    plain = [{key: value for key, value in app.env.items() if isinstance(value, str)} for app in desired.apps]
    asked = [advice(app, desired.folder, values) for app, values in zip(desired.apps, plain, strict=True)]
    return desired, [hint for hints in await asyncio.gather(*asked) for hint in hints]


def _summary(desired: Desired) -> dict[str, Any]:
    return {
        "apps": [app.app for app in desired.apps],
        "hosts": list(desired.host_names()),
        "commit": desired.revision,
        "notes": list(desired.notes),
        "problems": [],
    }


def _sentence(desired: Desired) -> str:
    apps, hosts = len(desired.apps), len(list(desired.host_names()))
    source = f"commit {desired.revision[:7]}" if desired.revision else "files on disk"
    return f"ok: {_count(apps, 'app')} on {_count(hosts, 'host')} ({source})"


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
