"""The mutation tests can fail, and a sample of them passes. All of them: `python -m tests.mutation`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.__main__ import HERE, LEAST_SHARE_KILLED, accepted, problems, sample
from tests.mutation.mutants import FOLDER, ROOT, mutants


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("x = a < b", ["a < b → a >= b", "a < b → a <= b"]),
        ("x = a in b", ["a in b → a not in b"]),
        ("x = a and b", ["a and b → a or b", "a and b → b", "a and b → a"]),
        ("x = not a", ["not a → a"]),
        ("x = 3", ["3 → 4"]),
        ("x = 'why'", ["'why' → ''"]),
        ("x = f'{a} is {b}'", ["f'{a} is {b}' → ''"]),
        ("x = a | b", ["a | b → a", "a | b → b"]),
        ("x = a[1:]", ["a[1:] → a", "1 → 0"]),
        ("x = f(a, b, c=d)", ["f(a, b, c=d) → f(b, a, c=d)", "f(… c=d) → left out"]),
        ("f([a, b])", ["f([a, b]) → left out", "a → left out", "b → left out"]),
        ("x = {'k': a, **b}", ["'k' → left out", "**b → left out", "'k' → ''"]),
        ("x = [a for a in b if c]", ["c → True", "c → False"]),
        ("x = a if b else c", ["b → True", "b → False"]),
        ("x = sorted(a)", ["sorted(a) → list(a)"]),
        ("x[a] = b", ["x[a] = b → left out"]),
        ("x |= a", ["x |= a → left out"]),
        ("f(a)", ["f(a) → left out"]),
        ("return a", ["return a → return None"]),
        ("return False", ["False → True"]),
        ("assert a < b", []),
        ("x: int = a", []),
    ],
)
def test_these_mistakes_are_planted(line: str, changes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(f'def function(a):\n    """A docstring."""\n    {line}\n', encoding="utf-8")

    assert [each.change for each in mutants(path)] == changes


def test_mutants_that_look_alike_bear_numbers_and_keep_their_names_when_lines_move(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    text = "LIMIT = 3\n\n\nclass A:\n    def f(self):\n        return 3\n\n    def g(self):\n        return [3, 3]\n"
    names = []
    for moved in ("", "# a comment\n\n"):
        path.write_text(moved + text, encoding="utf-8")
        names.append([(each.function, each.change) for each in mutants(path) if "→ 4" in each.change])

    assert names[0] == [("LIMIT", "3 → 4"), ("A.f", "3 → 4"), ("A.g", "3 → 4"), ("A.g", "3 → 4  (no. 2)")]
    assert names[0] == names[1]


def test_a_survivor_without_a_name_and_a_name_without_a_survivor_are_problems() -> None:
    one, two, *rest = mutants(FOLDER / "leaving.py")
    killed = {one: False, two: True, **dict.fromkeys(rest, True)}
    name, other = (one.place, one.change), (two.place, two.change)

    assert problems(killed, {name: "equivalent"}, whole=True) == []
    assert problems(killed, {}, whole=True) == ["1 survivors are not named: write a test that notices them"]
    assert problems(killed, {name: "equivalent", other: "?"}, whole=True) == [
        f"accepted.toml names what does not survive: {two.place}: {two.change}"
    ]
    assert problems({**killed, **dict.fromkeys(rest, False)}, {name: ""}, whole=True)[-1].endswith("must be")


def test_the_last_result_is_good_enough_and_names_every_survivor_with_a_word() -> None:
    last = json.loads((HERE / "result.json").read_text(encoding="utf-8"))
    survivors = {(each["place"], each["change"]): each["word"] for each in last["survivors"]}

    assert last["killed"] / last["mutants"] >= LEAST_SHARE_KILLED
    assert last["killed"] + len(last["survivors"]) == last["mutants"]
    assert survivors == accepted()
    assert all(survivors.values())


# New modules that are not in the last result, and whose survivors nobody has gone through.
NOT_GONE_THROUGH = {"changes.py"}


def test_a_sample_is_noticed_by_the_tests() -> None:
    """Another sample for each state of decide/. A mutant that survives in new code fails only if there are many."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    modules = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in NOT_GONE_THROUGH)
    command = [sys.executable, "-m", "tests.mutation", "--sample", "40", *modules]

    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)

    assert "40 mutants in" in done.stdout, done.stdout + done.stderr
    assert "must be" not in done.stdout, done.stdout


def test_a_sample_is_the_same_for_the_same_code() -> None:
    every = mutants(FOLDER / "leaving.py")

    assert sample(every, 5) == sample(every, 5)
    assert len(sample(every, 5)) == 5
