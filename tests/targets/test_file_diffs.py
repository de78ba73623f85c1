"""What differs between files, as people may see it: no value of a variable, no hash of a password."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.converged_app import converged_app
from reconciler.desired_state.load import load
from reconciler.targets.file_diffs import MOST_LINES, by_host, diff, readable, texts_of, texts_of_both
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.without_hosts import work_out_offline
from reconciler.tools import scripts
from tests.support.repository import Repository, app

ROUTE = {"domains": ["example.com"], "basic_auth": {"secret": "shop/auth"}}


def files_of(folder: Path, **keys: Any) -> TargetFiles:
    env = {"PLAIN": "value-of-plain", "KEY": {"secret": "shop/key"}}
    Repository(folder).write(app("shop", **{"route": ROUTE, "env": env, **keys}))
    return work_out_offline(load(folder / "desired-state", working_tree=True), {}).files["shop", "web1"]


def live_diff(files: TargetFiles, *, unit: str, route: str, **slot: Any) -> list[str]:
    found = replace(converged_app(files.target, "us").slots[0], **slot)
    return diff(*texts_of_both(files, found, unit, route))


def changed(lines: list[str]) -> list[str]:
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


def test_files_as_they_should_be_do_not_differ(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    route = files.route_text("4000", attempt=7).partition("\n# end\n")[0] + "\n# end\n"

    assert live_diff(files, unit=files.unit_text(), route=route) == []


def test_an_edit_by_hand_is_shown_line_by_line(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    unit = files.unit_text().replace("MemoryMax=40%", "MemoryMax=90%\nEnvironment=PASSWORD=hunter2")
    route = files.route_text("4000").partition("visitor:")[0].replace("example.com", "evil.example")

    lines = live_diff(files, unit=unit, route=route)

    assert changed(lines) == [
        '-      rule: "Host(`evil.example`)"',
        '+      rule: "Host(`example.com`)"',
        "-MemoryMax=90%",
        "-Environment=PASSWORD=…",
        "+MemoryMax=40%",
    ]
    assert "hunter2" not in "\n".join(lines)


def test_a_comment_by_hand_is_shown_wherever_it_is(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    route = files.route_text("4000").partition("\n# end\n")[0] + "\n# end\n# mine\n"

    assert changed(live_diff(files, unit=files.unit_text() + "# mine too\n", route=route)) == ["-# mine", "-# mine too"]


def test_of_a_variable_there_is_a_name_and_never_a_value_nor_the_digest_of_a_former_one(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    keys = dict(files.target.env_keys)
    former = tuple({**keys, "PLAIN": "aaaaaaaaaaaa", "KEY": "bbbbbbbbbbbb", "GONE": "cccccccccccc"}.items())
    route = files.route_text("4000").partition("visitor:")[0]

    lines = live_diff(files, unit=files.unit_text(), route=route, env_keys=former)

    assert changed(lines) == [
        "-GONE",
        "-KEY=another value",
        "-PLAIN=another value",
        "+KEY=secret shop/key",
        f"+PLAIN={keys['PLAIN'][:8]}",
    ]


def test_hashes_of_passwords_are_left_out(tmp_path: Path) -> None:
    text = readable(
        'http:\n  x: {"users": ["a:$2y$05$abc", "b:$2y$05$def"]}\n  other: $2y$05$ghi\n# end\na:$2y$05$jkl\n'
    )

    assert "$2y$" not in text
    assert "$2y$" not in "".join(texts_of(files_of(tmp_path), {}).values())


def test_a_diff_is_bounded() -> None:
    lines = diff({"x": "a\n" * 1000}, {"x": "b\n" * 1000})

    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"… and {2003 - MOST_LINES} more lines"


def test_hosts_with_the_same_diff_are_told_once() -> None:
    assert by_host([("a", "h1", ["x"]), ("a", "h2", ["x"]), ("a", "h3", ["y"]), ("b", "h1", [])]) == [
        ("a", ("h1", "h2"), ("x",)),
        ("a", ("h3",), ("y",)),
    ]


@pytest.mark.parametrize("present", [True, False])
def test_the_host_sends_both_files_and_follows_no_link(present: bool, tmp_path: Path) -> None:
    units, routes = tmp_path / "units", tmp_path / "routes"
    units.mkdir()
    routes.mkdir()
    secret = tmp_path / "shadow"
    secret.write_text("root:x")
    if present:
        (units / "shop@.service").write_text("[Unit]\n\x00ü" + "x" * 100_000)
        (routes / "shop.yml").symlink_to(secret)

    script = scripts.plain_script("files", "system").text
    done = subprocess.run(["sh", "-c", script, "sh", units, routes, "shop"], capture_output=True, text=True, check=True)

    unit, route, rest = done.stdout.split("\n")
    assert (route, rest) == ("", "")
    assert len(base64.b64decode(unit)) == (65_536 if present else 0)
