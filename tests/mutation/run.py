"""Runs the tests of decide/ over mutants: each mutant in a forked process, test after test, until one fails.

A pytest session collects the tests and runs each once, to learn how long it takes and which lines of decide/ it
executes. Then it forks for each mutant and runs, in the child, the tests that reach the changed line: first those that
noticed other mutants of the same function, then the fastest. Nothing is written: the child replaces the code in its own
memory.

Left out are the searches with hypothesis. They find what no author thought of, but a mutant should be noticed by a test
that says what is wrong, at once, and in the same way on every run.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import pytest

from tests.mutation.mutants import FOLDER, Mutant
from tests.mutation.swap import put_in_place

TESTS = "tests/decide"
AT_ONCE = max(1, min(os.cpu_count() or 1, 4))
MOST_MEMORY_BYTES = 4 << 30  # a mutant may build lists without end
SURVIVED, KILLED, BROKEN = 0, 1, 2


def run(mutants: list[Mutant], report: Callable[[int, int], None]) -> dict[Mutant, bool]:
    """True for each mutant that a test notices. `report` is told how many are done, and of how many."""
    plugin = Run(mutants, report)
    words = ["-o", "addopts=--strict-markers", "-m", "not hosts", "-s"]
    without = ["xdist", "cacheprovider", "terminal", "faulthandler"]
    code = pytest.main([*words, *(word for each in without for word in ("-p", f"no:{each}")), TESTS], plugins=[plugin])
    if code or len(plugin.killed) != len(mutants):
        raise SystemExit(f"the mutation run has failed: {plugin.failed or code}")
    return plugin.killed


@dataclass(eq=False)
class Watched:
    """One test: how long it takes, and the lines of decide/ that it executes."""

    item: pytest.Item
    seconds: float = 0.0
    lines: set[tuple[str, int]] = field(default_factory=set)

    def reaches(self, mutant: Mutant) -> bool:
        return mutant.constant or any((str(mutant.path), line) in self.lines for line in mutant.lines)

    def run(self) -> None:
        self.item.config.hook.pytest_runtest_protocol(item=self.item, nextitem=None)


@dataclass
class Run:
    """A pytest plugin whose test loop is the whole run. `killed` says of each mutant whether a test noticed it."""

    mutants: list[Mutant]
    report: Callable[[int, int], None]
    killed: dict[Mutant, bool] = field(default_factory=dict)
    failed: str | None = None  # how a test fails without any mutant
    tests: list[Watched] = field(default_factory=list)
    useful: dict[str, list[Watched]] = field(default_factory=dict)  # tests that noticed a mutant of this place
    children: dict[int, tuple[Mutant, int]] = field(default_factory=dict)
    report_to: int | None = None  # in a child: the pipe to its parent

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not getattr(getattr(item, "obj", None), "is_hypothesis_test", False)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        if self.report_to is not None:
            os.write(self.report_to, report.nodeid.encode())
            os._exit(KILLED)
        self.failed = self.failed or str(report.longrepr)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.tests = sorted(map(_watch, session.items), key=lambda each: each.seconds)
        if self.failed:
            return True
        gc.collect()
        gc.freeze()  # what the children share with this process stays shared
        for mutant in self.mutants:
            if len(self.children) >= AT_ONCE:
                self._await_one()
            tests = [test for test in self.tests if test.reaches(mutant)]
            useful = [test for test in self.useful.get(mutant.place, []) if test in tests]
            if tests:
                self._fork(mutant, dict.fromkeys([*useful, *tests]))
            else:
                self._note(mutant, killed=False)
        while self.children:
            self._await_one()
        return True

    def _fork(self, mutant: Mutant, tests: Iterable[Watched]) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            self.report_to = writer
            _attempt(mutant, tests)
        os.close(writer)
        self.children[child] = mutant, reader

    def _await_one(self) -> None:
        child, status = os.wait()
        mutant, reader = self.children.pop(child)
        code = os.waitstatus_to_exitcode(status)
        with os.fdopen(reader, encoding="utf-8") as pipe:
            noticed_by = pipe.read()
        if code == BROKEN:
            raise AssertionError(f"could not run {mutant.place}, line {mutant.line}: {mutant.change}\n{noticed_by}")
        self._note(mutant, killed=code != SURVIVED)
        useful = self.useful.setdefault(mutant.place, [])
        for test in (each for each in self.tests if each.item.nodeid == noticed_by):
            useful[:] = [test, *(each for each in useful if each is not test)]

    def _note(self, mutant: Mutant, *, killed: bool) -> None:
        self.killed[mutant] = killed
        self.report(len(self.killed), len(self.mutants))


def _attempt(mutant: Mutant, tests: Iterable[Watched]) -> None:
    """In a child: run the tests with this mutant, and end the process."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        put_in_place(mutant)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        for test in tests:
            # Of its own processor time, so that a busy machine changes nothing. The signal ends the process.
            signal.setitimer(signal.ITIMER_VIRTUAL, 1 + 10 * test.seconds)
            test.run()
    except BaseException:
        traceback.print_exc()
        os._exit(BROKEN)
    os._exit(SURVIVED)


def _watch(item: pytest.Item) -> Watched:
    """Run the test once as it is, and note what it executes."""
    watched = Watched(item)
    folder = f"{FOLDER}{os.sep}"

    def note_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            watched.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return note_line

    def note_call(frame: FrameType, event: str, _: Any) -> Any:
        return note_line if frame.f_code.co_filename.startswith(folder) else None

    began, before = time.perf_counter(), sys.gettrace()
    sys.settrace(note_call)
    try:
        watched.run()
    finally:
        sys.settrace(before)
    watched.seconds = time.perf_counter() - began
    return watched
