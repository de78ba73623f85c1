"""Pictures of what a terminal shows, for the docs: `python -m tests.pictures` writes them to docs/pictures.

The programs run on a terminal of their own (pyte plays it), and what it then shows is drawn: colours, lines that were
written over, everything as a person sees it. A test keeps the pictures fresh.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte

from reconciler.colours import in_colour, paint_plan
from reconciler.engine.progress_lines import Work, progress_lines
from reconciler.engine.status_text import status_text
from reconciler.logs import readable_line
from reconciler.model.transfer import Transfer
from tests.engine.test_status_text import line

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
COLUMNS = 88  # of the picture; what is fitted to a width gets 80
COLOURS = {
    "default": "#d8dee9", "red": "#f07178", "green": "#a5d6a7", "brown": "#ffcb6b", "cyan": "#89ddff",
    "faint": "#8a93a5",
}  # fmt: skip
BACKGROUND = "#1b2028"
CELL, ROW, EDGE = 8.4, 19, 16


def status() -> str:
    """A fleet with something to do for a person."""
    fleet = [line("fine", f"web{number}", app) for number in range(1, 13) for app in ("shop", "blog")]
    broken = line(
        "BROKEN", "web7", "search", wants="1.8.0", runs=None, since=None, slot=None,
        because="unreachable: connect to web7:22: no route to host",
        next_step="reconcile doctor web7",
    )  # fmt: skip
    blocked = line(
        "blocked", "web3", "search", wants="1.8.0", runs="1.7.4",
        because="version 1.8.0 failed here: /ping answered 503 for 60 s",
        next_step="reconcile logs search, then correct it and commit, or reconcile retry search",
    )  # fmt: skip
    waiting = line("waiting", "web4", "search", wants="1.8.0", runs="1.7.4", because="waiting for web3, the first host")
    prompt = "$ reconcile status\n"
    return prompt + status_text([*fleet, broken, blocked, waiting], 80, in_colour)


def plan() -> str:
    text = """\
web1  install  shop 2.4.0-9f2c1b0e4d5a   not on the host
web1  migrate  shop 2.4.0-9f2c1b0e4d5a   once per release, before it starts
web1  start    shop slot 4001, 2.4.0     version 2.3.1 → 2.4.0
web1  wait     shop slot 4001            /ping healthy for 2 s, within 60 s
web1  cutover  shop slot 4000 → 4001     healthy
web1  drain    shop slot 4000            10 s at most for open requests
web1  stop     shop slot 4000            replaced by slot 4001
web2  later    shop                      after web1 has proven 2.4.0
web2  remove   old_wiki                  no longer in the desired state
host web3: shop: its port 4000 is taken by nginx
  version 2.3.1 still runs
  next: stop that program, or choose another port in apps/shop.yaml
"""
    return "$ reconcile plan\n" + paint_plan(text, in_colour)


def progress() -> str:
    """Many apps at once, some lines of the log above them."""
    logged = [
        ("12:04:31", "install.finished", "web1", "shop", "2.4.0-9f2c1b0e4d5a", 6.2, "not on the host"),
        ("12:04:33", "start.finished", "web1", "shop", "slot 4001, 2.4.0", 0.4, "version 2.3.1 → 2.4.0"),
    ]
    names = ("timestamp", "event", "host", "app", "subject", "seconds", "reason")
    lines = [readable_line(dict(zip(names, each, strict=True)), in_colour) for each in logged]
    works = [Work("web1", "shop", 0.0, "wait", "slot 4001", "healthy for 1 of 2 s")]
    for number, (app, share) in enumerate([("blog", 0.86), ("search", 0.52), ("wiki", 0.13)], start=2):
        work = Work(f"web{number}", app, 0.0, "install")
        for second in range(5):
            work.report(Transfer("upload", int(23.5e6 * share * (second + 4) / 8), 23_500_000), float(second))
        works.append(work)
    works += [Work("web5", "mailer", -3.0, "drain", "slot 4000", "3 still open, 7 s left")]
    works += [Work(f"web{number}", "shop", 0.0, "start") for number in range(6, 12)]
    return "\n".join(["$ reconcile --once", *lines, *progress_lines(works, 4.0, 80, 8, in_colour)]) + "\n"


SCENES: dict[str, Callable[[], str]] = {"status": status, "plan": plan, "progress": progress}


def svg(shown: str) -> str:
    """What a terminal shows after these bytes, as a picture that loads nothing from elsewhere."""
    rows = len(shown.splitlines())
    screen = pyte.Screen(COLUMNS, rows)
    screen.set_mode(pyte.modes.LNM)
    faint = shown.replace("\033[2m", "\033[94m")  # the emulator has no faint letters, and nothing else is bright blue
    pyte.Stream(screen).feed(faint.rstrip("\n"))
    width, height = COLUMNS * CELL + 2 * EDGE, rows * ROW + 2 * EDGE
    texts = [text for row in range(rows) for text in _texts(screen, row)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">\n'
        + "\n".join(texts)
        + "\n</g>\n</svg>\n"
    )


def _texts(screen: pyte.Screen, row: int) -> Iterator[str]:
    """Runs of letters with one style. Each is put where it is, so that blanks need not be drawn."""
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    start = 0
    while start < COLUMNS:
        cell, end = cells[start], start + 1
        while end < COLUMNS and (cells[end].fg, cells[end].bold) == (cell.fg, cell.bold):
            end += 1
        colour = COLOURS["faint" if cell.fg == "brightblue" else cell.fg]
        bold = ' font-weight="bold"' if cell.bold else ""
        for found in re.finditer(r"\S+(?: \S+)*", "".join(each.data for each in cells[start:end])):
            x, y = EDGE + (start + found.start()) * CELL, EDGE + row * ROW + 14
            length = f' textLength="{len(found[0]) * CELL:g}" lengthAdjust="spacingAndGlyphs"'
            yield f'<text x="{x:g}" y="{y}" fill="{colour}"{bold}{length}>{html.escape(found[0])}</text>'
        start = end


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, scene in SCENES.items():
        path = FOLDER / f"terminal-{name}.svg"
        path.write_text(svg(scene()), encoding="utf-8")
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
