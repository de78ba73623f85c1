"""The shell scripts, as good as the Python: format, lint, size, and that a host is sent the program that is read here.

`python -m tests.tools.test_shell` formats them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.machine import Layout, Scope
from reconciler.tools import host_program, scripts
from reconciler.tools.script_text import CHANGING, LOOK_ALONE, LOOKING, join_scripts, strip
from tests.support.shell import SCOPES, script_names

ROOT = Path(__file__).parent.parent.parent
TOOLS = Path(sys.executable).parent
POSIX = [
    *sorted((ROOT / "reconciler").rglob("*.sh")),
    ROOT / "reconciler/demo/app/bin/hello",
    *sorted((ROOT / "deploy").rglob("*.sh")),
    *sorted((ROOT / "deploy/example").glob("*/build")),
]
BASH = [ROOT / "tests/run", ROOT / ".ci/run"]
PACKAGED = [path for path in POSIX if "tools" in path.parts]
PROVISION = sorted((ROOT / "reconciler/provision/scripts").glob("*.sh"))
MOST_LINES = 40
FUNCTION = re.compile(r"^([a-z_]+)\(\) [{(]\n(.*?)^[})]$", re.MULTILINE | re.DOTALL)


def formatted(path: Path, *options: str) -> list[str]:
    """The command that formats this file. Options: two spaces, `case` branches indented, code simplified."""
    dialect = "bash" if path in BASH else "posix"
    return [str(TOOLS / "shfmt"), "-i", "2", "-ci", "-s", "-ln", dialect, *options, str(path)]


def warnings(text: str, *options: str) -> str:
    """What shellcheck says of a script."""
    words = [str(TOOLS / "shellcheck"), "--format=gcc", *options, "-"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False).stdout


def joined(scope: Scope) -> Iterator[tuple[str, str, str]]:
    """Each script that hosts of this scope are sent: its name, its text as it is read here, and as it is sent."""
    for name in script_names("change", apart=True):
        yield name, scripts.change_text(name, scope), scripts.change_script(name, scope).text
    for name in script_names("plain"):
        yield name, scripts.plain_text(name, scope), scripts.plain_script(name, scope).text
    yield "look", scripts.look_text(scope), scripts.look_script(scope).text
    yield "finish", scripts.finish_text(scope), scripts.finish_script(scope).text


@pytest.mark.parametrize("path", [*POSIX, *BASH], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_script_is_formatted(path: Path) -> None:
    """As `bash tests/run fix` does it."""
    assert subprocess.run(formatted(path, "-d"), capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.parametrize("scope", SCOPES)
def test_shellcheck_has_nothing_to_say_of_what_hosts_are_sent(scope: Scope) -> None:
    """With everything that it looks for by itself. What is switched off has its reason beside it.

    The actions are behind each other, since most of each is the same; so are they in the host's own program.
    """
    names = script_names("change", apart=True)
    own = "".join(join_scripts(name).replace("change()", f"change_{name}()", 1) for name in names)
    calls = "".join(f'change_{name} "$@"\n' for name in names)
    actions = join_scripts(scope, *LOOKING, *CHANGING, "release", "held", "sandbox") + own + calls + LOOK_ALONE
    others = {name: text for name, text, _ in joined(scope) if name not in names}
    texts = {**others, "actions": actions}
    said = {name: warnings(text, "--shell=sh") for name, text in texts.items()}

    assert {name: text for name, text in said.items() if text} == {}


def test_shellcheck_has_nothing_to_say_of_the_hosts_own_program() -> None:
    """But for the dollars in the regular expressions that are its constants."""
    assert warnings(host_program.verb_file(Layout(), comments=True), "--shell=sh", "--exclude=SC2016") == ""


@pytest.mark.parametrize(
    "path",
    [path for path in [*POSIX, *BASH] if path not in PACKAGED],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_shellcheck_has_nothing_to_say_of_scripts_that_stand_alone(path: Path) -> None:
    options = ["--shell=sh"] if path in PROVISION else []

    assert warnings(path.read_text(), *options) == ""


def test_every_switched_off_warning_has_its_reason() -> None:
    """In the same line, or in the first of those that follow each other in a file."""
    for path in [*POSIX, *BASH]:
        reasons: set[str] = set()
        for code, reason in re.findall(r"# shellcheck disable=(\S+)( # .+)?$", path.read_text(), re.MULTILINE):
            assert reason or code in reasons, f"{path.name}: {code}"
            reasons.add(code)


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_systemd_is_given_no_word_that_a_daemon_reload_changes(path: Path) -> None:
    """systemd 252 writes `$$` and `;` of a transient unit's words so that they are read back as something else."""
    assert re.findall(r"'[^'\n]*\$\$[^'\n]*'", path.read_text()) == []
    assert re.findall(r"\bsystemd-run\b[^\n]*(?:\\\n[^\n]*)*-c\b", path.read_text()) == []


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_functions_are_short(path: Path) -> None:
    lengths = {name: body.count("\n") for name, body in FUNCTION.findall(path.read_text())}

    assert {name: length for name, length in lengths.items() if length + 2 > MOST_LINES} == {}


@pytest.mark.parametrize("path", [*PACKAGED, *PROVISION], ids=lambda path: path.stem)
def test_no_path_that_is_removed_with_all_below_can_be_of_an_empty_variable(path: Path) -> None:
    """`rm -rf "$folder/$name"` with both empty is the end of the machine."""
    for words in re.findall(r"\brm -rf ([^;|&}\n]*(?:\}[^;|&}\n]*)*)", path.read_text()):
        assert re.sub(r"\$\{[A-Za-z0-9_]+:\?\}", "", words).count("$") == 0, words


# --- what is sent is the same program


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_a_host_is_sent_the_program_that_is_read_here(path: Path) -> None:
    """Without comments and indentation shfmt reads the same syntax, but for the indentation of awk programs."""
    text = path.read_text()

    assert syntax(strip(text)) == syntax(text)


def test_a_host_is_sent_neither_comments_nor_indentation() -> None:
    for scope in SCOPES:
        for name, text, sent in joined(scope):
            assert sent == strip(text), name
            assert not re.search(r"^(\s|#)", sent, re.MULTILINE), name


def test_an_indentation_that_counts_would_be_noticed() -> None:
    """In a string, and in a document."""
    for text in ("echo 'a\n  b'\n", "cat <<END\n  a\nEND\n", "x=$(echo 'a\n# b')\n"):
        assert syntax(strip(text)) != syntax(text)
    for text in ("if true; then\n  # a\n  echo a\nfi\n", "awk '{\n  print 1\n}' file\n"):
        assert syntax(strip(text)) == syntax(text)


def syntax(text: str) -> Any:
    words = [str(TOOLS / "shfmt"), "-ln", "posix", "--to-json"]
    parsed = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    return _without_places(json.loads(parsed.stdout)) if parsed.returncode == 0 else parsed.stderr


def _without_places(node: Any) -> Any:
    """The syntax without places and comments, and without the indentation of an awk program."""
    if isinstance(node, list):
        return [_without_places(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _without_places(value)
        for key, value in node.items()
        if key != "Comments" and not (isinstance(value, dict) and "Offset" in value)
    }
    if "awk" in json.dumps(found.get("Args", [])[:2]):  # it, or exec before it
        found["Args"] = re.sub(r"\\n\s+", r"\\n", json.dumps(found["Args"]))
    if str(found.get("Name", {}).get("Value") if isinstance(found.get("Name"), dict) else "").startswith("AWK_"):
        found["Value"] = re.sub(r"\\n\s+", r"\\n", json.dumps(found["Value"]))
    return found


if __name__ == "__main__":
    for script in [*POSIX, *BASH]:
        subprocess.run(formatted(script, "-w"), check=True)
