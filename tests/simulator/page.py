"""The text of docs/reliability.md, from what was gathered. Only what the numbers mean is written by hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from statistics import median
from typing import Any

from tests.simulator.menu import MENU
from tests.simulator.planted import PLANTED
from tests.simulator.report import Evidence, mutation_result
from tests.simulator.stories import GAPS
from tests.simulator.sweep import ALL_KINDS

INVARIANTS = {
    "1": "Once ready, a routed instance answers, and no visitor is lost to what reconcile does",
    "2": "A routed instance is not stopped; its traffic has left and its requests have ended",
    "3": "Nothing unproven is routed",
    "4": "A release is there whole or not at all",
    "5": "Nothing unowned is removed, nor the release that runs",
    "6": "At most two instances, one when converged, and no leftovers",
    "7": "One writer a host; what was decided before another had the host changes nothing",
    "8": "Traefik's folder parses at every instant",
    "9": "A pass over a converged host only looks",
    "10": "An unusable desired state changes nothing",
    "11": "What is reported was seen",
    "12": "No secret in arguments, logs, output, or a file that others can read",
    "13": "A host that boots at any instant serves the last routed version",
    "15": "Nothing of root's runs with what an app wrote",
    "16": "What was begun ends, and leaves no lock",
    "jobs": "A job has one run at a time, which keeps its release; its timer is on its host alone",
    "liveness": "Two passes after the last fault the newest commit is reached",
    "end state": "The host is as after the undisturbed run",
    "counts": "Nothing is started, stopped, routed or uploaded more often than the fault explains",
}

KNOWN_GAPS = (
    "Invariant 14 is asked by one story (a dead host, a silent link, a failing app), not after each effect.",
    "A stop-first app (one port) has no other instance: invariants 1, 2 and 3 allow its outage while it is replaced.",
    "Invariant 1 allows for what an operator did, or what died by itself, until it is put right; and for lost power.",
    "Counts allow one repetition for a fault that strikes inside of a script, and none for one between two scripts.",
    "What a change left half-written may stay until the app is changed again; lease.new until the next lease.",
    "F15 and F16 are simulated as what a controller reads; other tests show the network of git and of artifact stores.",
    "Exit 0 without effect is simulated for systemctl, but for daemon-reload, whose word is taken.",
    "A full disk fails every command that needs room; a command that writes half of a file is not simulated.",
    "`fetch: host`, a managed Traefik, scope `user`, epmd and htpasswd files are not simulated.",
    "Background jobs and members of a pipeline are no crash points of their own.",
    "A release that somebody damages while it runs is in no random history.",
    "On a very busy machine a script may be taken for blocked when it is not: such a run fails, and holds again.",
    "The mutants of decide/family.py, hooks.py, jobs.py and unit_changes.py were run apart from the others, and later.",
    "decide/changes.py, which is newer, is not among the mutants.",
    "Jobs run each minute or not at all; runs by hand, suspended jobs and jobs that fail are not simulated.",
    "No run of a job is under way at a crash point; in random histories and in a story of its own they are.",
    "The new instance of a stop-first app is started by one restart, whose wait for the old one renews no lease.",
    "Drop-ins, masks, owners and modes are not simulated; the fast tests of decide/ and of the scripts have them.",
)

DIFFERENCES = (
    "tests/hosts/test_model_is_honest.py compares, on real hosts, what is observed after each action with `expected`.",
    "The simulator runs the scripts themselves; systemd, journald, Traefik, /proc and the disk are models.",
    "systemd: a start takes no time, units have no dependencies, and there is no OOM killer.",
    "Traefik: one instance, the file provider only; it applies a change after a delay that the story sets.",
    "The disk: `sync` of a file also writes the names of its file system; the rest is written back after 35 s.",
    "Visitors: two open connections to what is routed, which end 0.3 s after the route has moved.",
)

HEAD = """# Reliability

`python -m tests.simulator report` writes this page: edit the simulator, not the page. It runs the real engine and the
real scripts, command by command on a virtual clock, over hosts in folders. With `--full` it runs every crash point and
the whole menu, which takes hours; without, a sample."""

LOSSES = """Nobody answers while a host has no power, or after an operator or the app itself stopped it. Any other
unanswered request breaks invariant 1. `replay NUMBER`, `menu NUMBER` and `seed NUMBER` show a run again."""


def page(evidence: Evidence) -> str:
    runs = evidence.runs
    passes = [each.passes for each in runs if not each.broken] or [0]
    hours = sum(each.virtual_seconds for each in runs) / 3600
    requests, lost = sum(each.requests for each in runs), sum(each.lost for each in runs)
    found = [oracle for _, oracle in evidence.planted if _is_found(oracle)]
    last = evidence.seed + evidence.size.seeds - 1
    return "\n".join(
        [
            HEAD,
            "",
            f"Seed {evidence.seed} picked the sample below.",
            "",
            "| what | |",
            "|---|---|",
            f"| crash points: there are, were run, passed | {evidence.points_there}, {_counted(evidence.points)} |",
            f"| a second fault in a recovery: pairs after {_firsts(evidence)} first faults, were run, passed | "
            f"{evidence.pairs_there}, {_counted(evidence.pairs)} |",
            f"| things that go wrong at a call of a controller: were run, passed | {_counted(evidence.menu)} |",
            f"| random histories: seeds, passed | {evidence.seed} to {last}, {_passed(evidence.seeds)} |",
            f"| simulated time | {hours:.1f} h |",
            f"| questions to the oracles | {evidence.checks.total()} |",
            f"| passes until converged after the last fault: median, most | {median(passes):g}, {max(passes)} |",
            f"| visitors' requests, and those that nobody answered | {requests:.0f}, {lost:.0f} |",
            f"| planted bugs found | {_planted_words(evidence, found)} |",
            f"| mutants of decide/ killed | {_mutation()} |",
            f"| took | {evidence.seconds / 60:.0f} min on {evidence.workers} processes |",
            "",
            LOSSES,
            "",
            "## Invariants",
            "",
            "| | promise | asked | broken |",
            "|---|---|---|---|",
            *_invariants(evidence),
            "",
            "## Crash points: faults and scripts",
            "",
            *_matrix(evidence.points),
            "",
            "## What goes wrong at the calls of a controller",
            "",
            "Version 1 serves and version 2 is committed. F numbers are those of the fault menu.",
            "",
            "| | what | runs | failed |",
            "|---|---|---|---|",
            *_menu(evidence),
            "",
            "## Stories",
            "",
            "| story | boundaries | crash points run | pairs run | failed |",
            "|---|---|---|---|---|",
            *_stories(evidence),
            "",
            "## Stories that no single fault tells",
            "",
            *(f"- {name}: {said or 'holds'}" for name, said in sorted(evidence.special)),
            "",
            *_failures(evidence),
            *_planted(evidence),
            "## The model and real hosts",
            "",
            *(f"- {each}" for each in DIFFERENCES),
            "",
            "## Known gaps",
            "",
            *(f"- {name}: {why}" for name, why in GAPS.items()),
            *(f"- {each}" for each in KNOWN_GAPS),
            "",
        ]
    )


def _passed(runs: list[Any]) -> int:
    return sum(not each.broken for each in runs)


def _counted(runs: list[Any]) -> str:
    return f"{len(runs)}, {_passed(runs)}"


def _firsts(evidence: Evidence) -> str:
    return str(evidence.size.firsts * len(evidence.references)) if evidence.size.firsts else "all"


def _is_found(oracle: str) -> bool:
    return bool(oracle) and not oracle.startswith("crash")


def _planted_words(evidence: Evidence, found: list[str]) -> str:
    if not evidence.planted:
        return "run `python -m tests.simulator hunt`"
    return f"{len(found)} of the {len(evidence.planted)} that were hunted; {len(PLANTED)} are listed"


def _mutation() -> str:
    if not mutation_result().exists():
        return "run `python -m tests.mutation`"
    said = json.loads(mutation_result().read_text())
    return f"{said['killed']} of {said['mutants']} ({said['killed'] / said['mutants']:.1%})"


def _invariants(evidence: Evidence) -> list[str]:
    broken = Counter(oracle for run in evidence.runs for oracle in {each[0] for each in run.broken})
    checks = evidence.checks
    return [f"| {name} | {promise} | {checks[name]} | {broken[name] or ''} |" for name, promise in INVARIANTS.items()]


def _matrix(results: list[Any]) -> list[str]:
    verbs = sorted({each.verb for each in results})
    cells: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for each in results:
        cells[each.kind, each.verb].append(not each.broken)

    def cell(kind: str, verb: str) -> str:
        outcomes = cells[kind, verb]
        failed = outcomes.count(False)
        return "" if not outcomes else f"{len(outcomes)}, **{failed} failed**" if failed else str(len(outcomes))

    rows = ["| " + " | ".join([kind, *(cell(kind, verb) for verb in verbs)]) + " |" for kind in ALL_KINDS]
    return ["| fault | " + " | ".join(verbs) + " |", "|---" * (len(verbs) + 1) + "|", *rows]


def _menu(evidence: Evidence) -> list[str]:
    rows = []
    for kind, fault in sorted(MENU.items(), key=lambda each: (int(each[1][1:]), each[0])):
        own = [each for each in evidence.menu if each.ordered.kind == kind]
        rows.append(f"| {fault} | {kind} | {len(own)} | {len(own) - _passed(own) or ''} |")
    return rows


def _stories(evidence: Evidence) -> list[str]:
    rows = []
    for name, reference in evidence.references.items():
        points = [each for each in evidence.points if each.story == name]
        pairs = [each for each in evidence.pairs if each.story == name]
        failed = sum(bool(each.broken) for each in (*points, *pairs))
        rows.append(f"| {name} | {len(reference.points)} | {len(points)} | {len(pairs)} | {failed or ''} |")
    return rows


def _first(run: Any) -> str:
    return ": ".join(run.broken[0])[:200]


def _failures(evidence: Evidence) -> list[str]:
    lines = [
        f"- replay {each.number}: {each.fault}; {each.second}, before `{each.command}`: {_first(each)}"
        for each in (*evidence.points, *evidence.pairs)
        if each.broken
    ]
    lines += [f"- menu {each.ordered.number}: {each.ordered}: {_first(each)}" for each in evidence.menu if each.broken]
    lines += [f"- seed {each.plan.seed}: {_first(each)}" for each in evidence.seeds if each.broken]
    lines += [f"- a run without an end: {each.item}: {each.why[:200]}" for each in evidence.crashed]
    return ["## Failed", "", *lines, ""] if lines else []


def _planted(evidence: Evidence) -> list[str]:
    if not evidence.planted:
        return []
    by_oracle = Counter(oracle for _, oracle in evidence.planted if _is_found(oracle))
    words = ", ".join(f"{oracle} {count}" for oracle, count in by_oracle.most_common())
    rows = [
        f"| {bug.floor} | {bug.name} | {oracle if _is_found(oracle) else '**not found**'} |"
        for bug, oracle in sorted(evidence.planted, key=lambda each: (each[0].floor, each[0].name))
    ]
    head = ["## Planted bugs", "", f"Each is a mistake of one place in a copy of the product. Found by: {words}.", ""]
    return [*head, "| where | what | found by |", "|---|---|---|", *rows, ""]
