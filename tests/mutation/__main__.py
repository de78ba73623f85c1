"""Mutation tests of decide/.

    python -m tests.mutation                  every mutant; writes tests/mutation/result.json
    python -m tests.mutation order.py         those of one module, or of several
    python -m tests.mutation --sample 100     so many of them, others for each state of the code

It fails if a mutant survives that accepted.toml does not name, if accepted.toml names one that does not survive, or if
fewer than 90 % are killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
import tomllib
from pathlib import Path

from tests.mutation.mutants import FOLDER, ROOT, Mutant, mutants
from tests.mutation.run import run

HERE = Path(__file__).parent
LEAST_SHARE_KILLED = 0.9


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation tests of decide/.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as order.py; without one, all of decide/")
    parser.add_argument("--sample", type=int, metavar="N", help="run only so many mutants")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of a set is the same on every run
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.mutation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    paths = [path for path in sorted(FOLDER.glob("*.py")) if path.name in options.modules or not options.modules]
    every = [mutant for path in paths for mutant in mutants(path)]
    chosen = sample(every, options.sample) if options.sample else every
    began = time.monotonic()
    killed = run(chosen, report)
    words = accepted()
    print(table(killed))
    for mutant in (each for each in chosen if not killed[each]):
        where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
        print(f"\n{where}  {mutant.function}\n  {mutant.change}\n  {words.get(_name(mutant), 'NOT NAMED')}")
    whole = not options.sample and not options.modules
    found = problems(killed, words, whole=whole)
    print(f"\n{len(chosen)} mutants in {time.monotonic() - began:.0f} s", *found, sep="\n")
    if whole and not found:
        (HERE / "result.json").write_text(result(killed, words), encoding="utf-8")
    return 1 if found else 0


def report(done: int, of: int) -> None:
    if done % 100 == 0 or done == of:
        print(f"{done} of {of} mutants", file=sys.stderr, flush=True)


def sample(every: list[Mutant], count: int) -> list[Mutant]:
    """So many mutants, chosen by the code itself: the same code always gives the same ones."""
    code = "".join(path.read_text(encoding="utf-8") for path in sorted({each.path for each in every}))
    chosen = random.Random(hashlib.sha256(code.encode()).hexdigest())
    return chosen.sample(every, min(count, len(every)))


def accepted() -> dict[tuple[str, str], str]:
    """The word for each survivor that no test can notice, by its place and change."""
    read = tomllib.loads((HERE / "accepted.toml").read_text(encoding="utf-8"))
    return {(each["place"], each["change"]): each["word"] for each in read.get("survivor", [])}


def table(killed: dict[Mutant, bool]) -> str:
    """A line for each module: its mutants, those that were killed, and the share."""
    lines = [f"{'module':<20}{'mutants':>9}{'killed':>9}{'share':>9}"]
    modules = sorted({each.path.name for each in killed})
    for name, own in [*((name, [each for each in killed if each.path.name == name]) for name in modules), ("", killed)]:
        count = sum(killed[each] for each in own)
        lines.append(f"{name or 'all':<20}{len(own):>9}{count:>9}{count / len(own):>9.1%}")
    return "\n".join(lines)


def problems(killed: dict[Mutant, bool], words: dict[tuple[str, str], str], *, whole: bool) -> list[str]:
    """The reasons why this result is not accepted."""
    survivors = {_name(each) for each, noticed in killed.items() if not noticed}
    found = []
    if unnamed := survivors - words.keys():
        found.append(f"{len(unnamed)} survivors are not named: write a test that notices them")
    stale = words.keys() - survivors if whole else words.keys() & {_name(each) for each in killed} - survivors
    found += [f"accepted.toml names what does not survive: {place}: {change}" for place, change in sorted(stale)]
    # Few mutants make a sample: those that nothing can notice would be too many of them by chance.
    counted = [noticed for each, noticed in killed.items() if whole or noticed or _name(each) not in words]
    share = sum(counted) / max(1, len(counted))
    if share < LEAST_SHARE_KILLED:
        found.append(f"{share:.1%} are killed; at least {LEAST_SHARE_KILLED:.0%} must be")
    return found


def result(killed: dict[Mutant, bool], words: dict[tuple[str, str], str]) -> str:
    """The text of result.json. It has no line numbers and no times, so that it changes only if the result does."""
    survivors = [each for each, noticed in killed.items() if not noticed]
    shown = [{"place": each.place, "change": each.change, "word": words[_name(each)]} for each in survivors]
    counts = {"mutants": len(killed), "killed": sum(killed.values())}
    return json.dumps({**counts, "survivors": shown}, indent=2, ensure_ascii=False) + "\n"


def _name(mutant: Mutant) -> tuple[str, str]:
    return mutant.place, mutant.change


if __name__ == "__main__":
    sys.exit(main())
