"""`reconcile show APP`: its keys as they are on each host, and where each value is written. Asks no host."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

from reconciler.desired_state.effective import Effective, Value, effective
from reconciler.desired_state.load import label, read_written
from reconciler.desired_state.yaml_text import KeyPath, dotted_path
from reconciler.errors import UsageError
from reconciler.model.environment import PRODUCTION
from reconciler.model.options import Options
from reconciler.terminal import paint_for
from reconciler.words import printable

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@%+-]*( [A-Za-z0-9_./@%+-]+)*")
_WIDEST = 60


def run(options: Options) -> int:
    """Print YAML that could be the app's file, with the source of each value in a comment. Return 0."""
    if options.repo:
        raise UsageError("show reads a local folder", "clone the repository, and leave --repo out")
    environment = "" if options.environment == PRODUCTION else options.environment
    written = read_written(options.desired_state, options.ref, working_tree=options.working_tree)
    app, found = effective(written.files, label(options.desired_state), options.app_name, environment)
    found = [each for each in found if not options.host or {*options.host} & {*each.hosts}]
    if not found:
        raise UsageError(
            f"{app} does not run on {', '.join(options.host or ())}", "leave --host out to see where it does"
        )
    if options.json:
        print(
            json.dumps({"app": app, "environment": environment, "variants": [_json(each) for each in found]}, indent=2)
        )
        return 0
    paint = paint_for(sys.stdout)
    for index, each in enumerate(found):
        head = f"# {app} on {', '.join(each.hosts)}"
        print(("\n" if index else "") + printable(head))
        for text, source in lines(each.values):
            print(f"{text.ljust(_WIDEST) if source else text}" + (paint(f"  # {source}", "quiet") if source else ""))
    return 0


def _json(each: Effective) -> dict[str, object]:
    keys = [
        {"key": dotted_path(value.path), ("secret" if value.secret else "value"): value.value, "from": value.source}
        for value in each.values
    ]
    return {"hosts": each.hosts, "keys": keys}


def lines(values: tuple[Value, ...]) -> Iterator[tuple[str, str]]:
    """Yield each line of the YAML, and where its value is written; "" for a line that only opens a block."""
    open_path: KeyPath = ()
    for value in values:
        *blocks, last = value.path
        same = 0
        while same < min(len(blocks), len(open_path)) and blocks[same] == open_path[same]:
            same += 1
        for depth in range(same, len(blocks)):
            yield f"{_indent(value.path, depth)}{_key(blocks[depth])}", ""
        open_path = tuple(blocks)
        text = f"{{secret: {value.value}}}" if value.secret else scalar(value.value or "")
        yield f"{_indent(value.path, len(blocks))}{_key(last)} {text}", value.source


def _indent(path: KeyPath, depth: int) -> str:
    return "  " * depth


def _key(part: str | int) -> str:
    return "-" if isinstance(part, int) else f"{scalar(part)}:"


def scalar(text: str) -> str:
    """The text as one line of YAML that reads as the same text."""
    return text if _PLAIN.fullmatch(text) and text.lower() != "null" else json.dumps(text, ensure_ascii=False)
