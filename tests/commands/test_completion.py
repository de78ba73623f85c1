"""Tab in a shell: commands, options, apps, hosts and jobs, in real shells, whatever the names are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.cli import COMMANDS, parser_of
from reconciler.commands.completion import print_candidates
from reconciler.commands.completion_scripts import SCRIPTS
from reconciler.desired_state import names
from tests.support.terminal import Person, at_a_terminal

HOSTILE = ["$(touch pwned)", "`touch pwned`", "a b", "; touch pwned", "-x", "\033[31m", "*"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with desired state, some of whose names are not meant well."""
    apps = tmp_path / "desired-state" / "apps"
    apps.mkdir(parents=True)
    keys = "".join(f"  {name!a}: {{}}\n" for name in HOSTILE)
    (apps / "hello.yaml").write_text(
        f"app: hello\nhosts: [web1, 'deploy@10.0.0.1:2222']\njobs:\n  nightly: {{}}\n  weekly: {{}}\n{keys}"
        f"processes: {{mailer: {{}}}}\n"
    )
    (apps / "shop.yaml").write_text("hosts: web2\n")
    (apps / "broken.yaml").write_text("hosts: [web9\n  - \t{")
    for name in HOSTILE:
        (apps / f"{name}.yaml").write_text("hosts: [$(touch pwned), '; touch pwned']\n")
    (tmp_path / "desired-state" / "fleet.yaml").write_text(
        f"hosts:\n  db1: {{address: a, groups: [web, '$(touch pwned)']}}\n{keys}"
    )
    (tmp_path / "desired-state" / "environments").mkdir()
    (tmp_path / "desired-state" / "environments" / "staging.yaml").write_text("apps: {}\n")
    return tmp_path


@pytest.fixture
def complete(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    monkeypatch.chdir(project)

    def words(line: str) -> list[str]:
        assert print_candidates(line, COMMANDS, parser_of) == 0
        return [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]

    yield words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reconcile sta", ["status"]),
        ("PAGER=cat /opt/bin/reconcile --app hello sta", ["status"]),
        ("reconcile --app ", ["broken", "hello", "shop"]),
        ("reconcile set h", ["hello"]),
        ("reconcile set hello ", []),
        ("reconcile status --host ", ["db1", "deploy@10.0.0.1:2222", "web1", "web2", "group:web"]),
        ("reconcile status --host=w", ["--host=web1", "--host=web2"]),
        ("reconcile status --host g", ["group:web"]),
        ("reconcile --environment ", ["production", "staging"]),
        ("reconcile set shop --from s", ["staging"]),
        ("reconcile doctor d", ["db1", "deploy@10.0.0.1:2222"]),
        ("reconcile run hello ", ["nightly", "weekly"]),
        ("reconcile run broken ", []),
        ("reconcile run nowhere ", []),
        ("reconcile logs hello --job w", ["weekly"]),
        ("reconcile logs --process ma", []),
        ("reconcile logs hello --process ma", ["mailer"]),
        ("reconcile logs --fo", ["--follow"]),
        ("reconcile plan --ref ", []),
        ("reconcile plan --desired-state ", [":files"]),
        ("reconcile --desired-state elsewhere set ", []),
        ("reconcile secrets re", ["rekey"]),
        ("reconcile completion ", ["bash", "zsh", "fish"]),
        ("reconcile --color a", ["auto", "always"]),
        ('reconcile run "hel', ["hello"]),
        ("", [*COMMANDS]),
    ],
)
def test_how_a_line_can_go_on(complete: object, line: str, words: list[str]) -> None:
    assert callable(complete)

    assert complete(line) == words


def test_names_are_read_up_to_a_size_only(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key press does not wait for a thousand files: what was read until then is offered."""
    whole = names.hosts(project / "desired-state")
    monkeypatch.setattr(names, "LARGEST_BYTES", 400)

    assert "web1" in whole
    assert names.hosts(project / "desired-state") == ["db1"]
    assert names.apps(project / "desired-state") == ["broken", "hello", "shop"]


def test_where_nothing_can_be_read_completion_is_quiet(tmp_path: Path) -> None:
    for line in ("reconcile --app ", "reconcile run x ", "reconcile --host "):
        done = subprocess.run(
            [sys.executable, "-m", "reconciler.cli", "completion", "--line", line],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("", "")


def test_a_tab_imports_nothing_heavy() -> None:
    """It is answered while a person types."""
    heavy = "('asyncio', 'pydantic', 'jinja2', 'structlog', 'subprocess', 'yaml')"
    code = "import sys; from reconciler.cli import main; main(['completion', '--line', 'reconcile --app '])\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@contextmanager
def shell(name: str, project: Path) -> Iterator[Person]:
    """An interactive shell in the project, with the script loaded as its first line says."""
    words, start = {
        "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(reconcile completion bash)"'),
        "zsh": (["zsh", "-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(reconcile completion zsh)"'),
        "fish": (["fish", "--private"], "reconcile completion fish | source"),
    }[name]
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(project), "LC_ALL": "C.UTF-8"}
    with at_a_terminal(words, project, environ | {"PS1": "$ "}) as person:
        person.types(f"{start}; echo loa''ded\r")
        person.sees("loaded")
        yield person


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_real_shell_completes_names_and_evaluates_none(name: str, project: Path) -> None:
    with shell(name, project) as person:
        for typed, completed in [
            ("reconcile run hello ni\t", "nightly"),
            ("reconcile histo\t", "history"),
            ("reconcile status --host deploy@10.0.0.1:22\t", "--host deploy@10.0.0.1:2222"),
            ("reconcile jobs --host=db\t", "--host=db1"),
            ("reconcile plan --allowed-signers desired-state/fl\t", "fleet.yaml"),
        ]:
            person.types(typed)
            person.sees(re.escape(completed))
            person.types("\x15")  # Ctrl-U
        for typed in ("reconcile --app \t\t", 'reconcile run "$(touch pwned)" \t\t', "reconcile doctor \t\t"):
            person.types(f"{typed}\x15echo sti''ll here\r")
            person.sees("still here")

    assert not (project / "pwned").exists()
