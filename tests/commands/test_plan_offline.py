"""`reconcile plan --from --to`: what a change means, from two commits alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from tests.support.repository import FLEET, Repository, app


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository.make(tmp_path / "repository")
    monkeypatch.chdir(made.root)
    return made


def text_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["plan", *words])
    return code, capsys.readouterr().out


def json_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code, text = text_of(capsys, *words, "--json")
    return code, json.loads(text)


def verbs(plan: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    return {(each["app"], each["host"]): [action["verb"] for action in each["actions"]] for each in plan["plan"]}


def keys(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["app"], each["key"], each["how"]) for each in plan["changes"]]


def test_a_new_version_is_rolled_out_host_after_host(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    old = repository.commit(app("shop", route={"domains": ["example.com"]}))
    new = repository.commit(app("shop", "1.1", route={"domains": ["example.com"]}), message="Ship it")

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "main")

    assert (code, plan["from"], plan["to"]) == (3, old, new)
    assert plan["summary"] == "2 to roll out, on 2 hosts"
    assert verbs(plan) == {
        ("shop", host): ["install", "start", "wait", "cutover", "confirm", "drain", "stop", "certify"][:7]
        for host in ("web1", "web2")
    }
    assert plan["plan"][0]["actions"][0]["subject"] == "1.1"  # the digest is the artifact's, which is not asked
    assert plan["plan"][1]["waits"] == ["waits for host web1: shop is not yet converged on web1"]
    assert plan["changes"] == [{"app": "shop", "key": "version", "how": "changed", "before": "1.0", "after": "1.1"}]
    assert plan["commits"] == [{"id": new, "subject": "Ship it"}]


def test_nothing_to_do_is_0(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit(app("shop"))
    repository.commit(app("shop", drain_seconds="20"))

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, plan["plan"], keys(plan)) == (0, [], [("shop", "drain_seconds", "changed")])


def test_removals_come_first_and_too_many_are_blocked(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    apps = [app(name, ports=[]) for name in ("one", "two", "six")]
    repository.commit(*apps, app("shop"))
    repository.commit(app("shop", "1.1"), apps[0])

    blocked, page = text_of(capsys, "--from", "HEAD~1", "--to", "HEAD", "--markdown")
    allowed, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD", "--allow-prune")

    assert (blocked, allowed) == (1, 3)
    assert page.index("removing 2 of 4 apps at once") < page.index("roll out 1.1")
    assert "### reconcile plan: 4 blocked, 2 to roll out, on 2 hosts" in page
    assert {key: each for key, each in verbs(plan).items() if key[0] in ("two", "six")} == {
        (name, host): ["stop", "remove"] for name in ("two", "six") for host in ("web1", "web2")
    }


def test_each_kind_of_change_is_named(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    before = app(
        "shop", env={"KEPT": "1", "GONE": "2", "OTHER": "3"}, route={"domains": ["example.com"]},
        jobs={"nightly": {"run": "bin/n", "at": "*-*-* 03:00 UTC"}}, migrate="bin/m", before_migrate="bin/backup",
    )  # fmt: skip
    after = app(
        "shop", env={"KEPT": "1", "OTHER": "4", "NEW": {"secret": "shop/new"}}, hosts=["web1"],
        route={"domains": ["example.com", "www.example.com"]}, migrate="bin/m", before_migrate="bin/save",
        jobs={"nightly": {"run": "bin/n", "at": "*-*-* 04:00 UTC"}}, processes={"mailer": {"start": "bin/mailer"}},
    )  # fmt: skip
    fleet = {"hosts": {"web1": FLEET["hosts"]["web1"], "web3": {"address": "203.0.113.9"}}}
    repository.commit(before)
    repository.commit(after, fleet=fleet)

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert code == 3
    assert keys(plan) == [
        ("", "host web2", "removed"),
        ("", "host web3", "added"),
        ("shop", "hosts", "changed"),
        ("shop", "env GONE", "removed"),
        ("shop", "env NEW", "added"),
        ("shop", "env OTHER", "changed"),
        ("shop", "route.domains", "changed"),
        ("shop", "process mailer", "added"),
        ("shop", "job nightly at", "changed"),
        ("shop", "hook before_migrate", "changed"),
        ("shop", "secret shop/new", "added"),
    ]
    # web2 is gone from fleet.yaml as well, so nothing would remove the app there.
    assert [note for note in plan["notes"] if "host web2" in note and "go on running" in note]
    assert not [each for each in plan["plan"] if each["host"] == "web2"]


def test_no_value_of_a_variable_is_ever_shown(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    worker = {"start": "bin/w"}
    repository.commit(app("shop", env={"A": "old-value"}, processes={"w": {**worker, "env": {"B": "old-value"}}}))
    repository.commit(app("shop", env={"A": "new-value"}, processes={"w": {**worker, "env": {"B": "new-value"}}}))
    shown = []

    for form in ([], ["--json"], ["--markdown"]):
        code, text = text_of(capsys, "--from", "HEAD~1", "--to", "HEAD", "--diff", *form)
        shown.append(text)

        assert code == 3
        assert "env A" in text
        assert "-value" not in text

    assert "process w env B changed" in shown[0]


def test_a_secret_that_was_encrypted_again_is_named(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """No key is needed for it: the ciphertext differs."""
    shop = app("shop", env={"KEY": {"secret": "shop/key"}, "TOO": {"secret": "shop/too"}}, ports=[])
    repository.commit(shop, files={"secrets/shop/key.age": "one", "secrets/shop/too.age": "same"})
    repository.commit(shop, files={"secrets/shop/key.age": "two", "secrets/shop/too.age": "same"})

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, keys(plan)) == (3, [("shop", "secret shop/key", "changed")])
    assert plan["plan"][0]["actions"][0]["reason"].startswith("env KEY changed")


def test_the_first_commit_is_where_the_lines_part(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """A branch that lacks the newest commits of main would not take them back."""
    base = repository.commit(app("shop"), app("other", ports=[]))
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit(app("shop", "1.1"), app("other", ports=[]))
    repository.git("checkout", "-q", "main")
    repository.commit(app("shop"), app("other", "2.0", ports=[]))

    code, plan = json_of(capsys, "--from", "main", "--to", "feature")

    assert (code, plan["from"], keys(plan)) == (3, base, [("shop", "version", "changed")])
    assert plan["notes"][0] == "main has 1 commit more than feature; they are not a part of this plan"


def test_from_alone_is_about_the_files_on_disk(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit(app("shop"))
    repository.write(app("shop", "1.1"))

    code, text = text_of(capsys, "--from", "HEAD")

    assert code == 3
    assert "→ the files on disk: 2 to roll out, on 2 hosts\n" in text


def test_to_alone_is_compared_with_head(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit(app("shop"))
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit(app("shop", "1.1"))
    repository.git("checkout", "-q", "main")

    code, plan = json_of(capsys, "--to", "feature")

    assert (code, keys(plan)) == (3, [("shop", "version", "changed")])


def test_a_file_that_is_not_valid_is_told_with_its_place_and_the_rest_is_planned(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit(app("shop"), app("bad", ports=[]))
    repository.commit(app("shop", "1.1"), files={"apps/bad.yaml": "app: bad\nversion: 1\nhost: x\n"})

    code, text = text_of(capsys, "--from", "HEAD~1", "--to", "HEAD")
    back, reverse = json_of(capsys, "--from", "HEAD", "--to", "HEAD~1")

    assert code == 2
    assert "desired-state/apps/bad.yaml:3:1  host: is not a key; did you mean hosts?" in text
    assert "not compared, since a file is not valid: bad" in text
    assert "version 1.0 → 1.1" in text
    assert "remove" not in text  # it is still wanted, although nobody can say how
    assert (back, reverse["problems_before"]) == (0, [])  # HEAD~1 is older: nothing is between


def test_what_was_not_valid_before_is_told_and_stops_nothing(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = repository.commit(app("shop"), files={"apps/bad.yaml": "app: bad\nversion: 1\nhost: x\n"})
    repository.commit(app("shop", "1.1"), app("bad", ports=[]))

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, plan["problems"]) == (3, [])
    assert {each["file"] for each in plan["problems_before"]} == {f"desired-state/apps/bad.yaml@{bad[:7]}"}


def test_a_fleet_file_that_is_not_valid_hides_no_app(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit(app("shop"))
    repository.commit(app("shop", "1.1"), fleet={"hots": {}})

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, [each["file"] for each in plan["problems"]]) == (2, ["desired-state/fleet.yaml"])
    assert keys(plan) == [("shop", "version", "changed")]


def test_the_first_desired_state_of_a_repository_is_all_new(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.root / "README").write_text("nothing yet")
    repository.commit_all()
    repository.commit(app("shop", ports=[]))

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, plan["problems_before"]) == (3, [])
    assert ("shop", "app", "added") in keys(plan)


def test_a_desired_state_without_apps_is_refused_and_removes_nothing(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit(app("shop"))
    repository.commit()

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, plan["plan"]) == (2, [])
    assert plan["problems"][0]["message"] == "there is no app file"


def test_another_address_is_another_machine(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit(app("shop", ports=[]))
    hosts = {**FLEET["hosts"], "web2": {"address": "203.0.113.99"}}
    repository.commit(app("shop", ports=[]), fleet={"hosts": hosts})

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert (code, list(verbs(plan))) == (3, [("shop", "web2")])
    assert "planned as a new machine" in plan["notes"][0]


def shallow(repository: Repository, folder: Path, depth: int = 1) -> None:
    words = ["git", "clone", "-q", "--no-single-branch", f"--depth={depth}", f"file://{repository.root}", str(folder)]
    subprocess.run(words, check=True, capture_output=True)


def test_a_shallow_clone_says_what_to_fetch(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = repository.commit(app("shop"))
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit(app("shop", "1.1"))
    repository.commit(app("shop", "1.2"))
    repository.git("checkout", "-q", "main")
    repository.commit(app("shop", drain_seconds="5"))
    shallow(repository, tmp_path / "one")
    shallow(repository, tmp_path / "three", depth=3)

    monkeypatch.chdir(tmp_path / "one")
    missing = main(["plan", "--from", first, "--to", "HEAD"])
    parted = main(["plan", "--from", "origin/main", "--to", "origin/feature"])
    errors = capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "three")
    deep, plan = json_of(capsys, "--from", "origin/main", "--to", "origin/feature")

    assert (missing, parted, deep) == (2, 2, 3)
    assert f"there is no commit {first} in {tmp_path}/one, which is a shallow clone" in errors
    assert "without the commit where" in errors
    assert errors.count("fetch-depth: 0 under with: of actions/checkout") == 2
    assert keys(plan) == [("shop", "version", "changed")]


def test_a_ref_that_does_not_exist_is_an_error_and_never_an_option(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.commit(app("shop"))

    codes = [main(["plan", "--from", ref, "--to", "HEAD"]) for ref in ("nowhere", "", "main^{tree}", "x\x1b[31m")]
    option = main(["plan", "--from=--output=/tmp/x", "--to", "HEAD"])

    assert [*codes, option] == [2, 2, 2, 2, 2]
    assert "\x1b" not in capsys.readouterr().err


def test_nothing_of_the_repository_is_run(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hooks, filters, diff drivers and aliases of the repository, by its attributes and even by its configuration."""
    program, trace = tmp_path / "program", tmp_path / "trace"
    program.write_text(f"#!/bin/sh\necho $0 $* >>{trace}\ncat\n")
    program.chmod(0o755)
    repository.commit(app("shop"))
    (repository.root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil text\n")
    settings = ("filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "diff.external", "core.fsmonitor")
    for name in (*settings, "core.pager", "core.sshCommand", "gpg.program", "core.alternateRefsCommand"):
        repository.git("config", name, str(program))
    hooks = repository.root / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "post-checkout"):
        shutil.copy(program, hooks / name)
    repository.git("config", "core.hooksPath", str(hooks))
    repository.git("config", "log.showSignature", "true")
    repository.commit(app("shop", "1.1"))
    trace.unlink(missing_ok=True)

    for words in (["--from", "HEAD~1", "--to", "HEAD"], ["--from", "HEAD~1"]):
        code, _ = text_of(capsys, *words)
        assert code == 3

    assert not trace.exists()


def test_a_link_in_place_of_the_folder_leads_nowhere(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger's commit may turn the folder, apps/ or a file into a link to what only the machine has."""
    elsewhere = Repository.make(tmp_path / "elsewhere")
    elsewhere.commit(app("private"))
    repository.commit(app("shop"))
    shutil.rmtree(repository.root / "desired-state")
    (repository.root / "desired-state").symlink_to(elsewhere.root / "desired-state")
    repository.commit_all()

    code, text = text_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert code == 2
    assert "private" not in text
    assert "it is not a folder" in text


def test_a_huge_commit_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reconciler.desired_state.two_states.MOST_BYTES", 3000)
    repository.commit(app("shop"))
    repository.commit(app("shop"), *(app(f"app{n}", ports=[]) for n in range(40)))

    code, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert code == 2
    assert "the desired state is larger than" in plan["problems"][0]["message"]


def test_no_host_and_no_network_is_asked(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr("socket.socket.connect", refuse)
    repository.commit(app("shop", artifact={"source": "https://example.com/shop-{version}.tar.gz"}))
    repository.commit(app("shop", "1.1", artifact={"source": "https://example.com/shop-{version}.tar.gz"}))

    code, _ = text_of(capsys, "--from", "HEAD~1", "--to", "HEAD")

    assert code == 3


def test_it_loads_nothing_that_could_reach_a_host_or_open_a_secret(repository: Repository) -> None:
    """It is what a stranger's pull request runs, and each module less makes it sooner."""
    repository.commit(app("shop", env={"KEY": {"secret": "a/b"}}), files={"secrets/a/b.age": "one"})
    repository.commit(app("shop", "1.1", env={"KEY": {"secret": "a/b"}}), files={"secrets/a/b.age": "two"})
    program = (
        "import sys\nfrom reconciler.cli import main\n"
        "code = main(['plan', '--from', 'HEAD~1', '--to', 'HEAD', '--diff'])\n"
        "print(code, *sys.modules, file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    code, *loaded = done.stderr.split()
    assert code == "3"
    assert not {"asyncssh", "httpx2", "pyrage", "structlog", "reconciler.host", "reconciler.artifact"} & {*loaded}


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "HEAD", "--ref", "main"],
        ["--from", "HEAD", "--repo", "https://example.com/x.git"],
        ["--to", "HEAD", "--working-tree"],
        ["--from", "HEAD", "--json", "--markdown"],
        ["--from", "HEAD", "--markdown", "--longest", "10"],
    ],
)
def test_options_that_contradict_each_other_are_refused(repository: Repository, words: list[str]) -> None:
    repository.commit(app("shop"))

    assert main(["plan", *words]) == 2


def test_app_and_host_narrow_the_plan(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit(app("shop"), app("other", ports=[]))
    repository.commit(app("shop", "1.1"), app("other", "1.1", ports=[]))

    _, plan = json_of(capsys, "--from", "HEAD~1", "--to", "HEAD", "--app", "shop", "--host", "web2")

    assert list(verbs(plan)) == [("shop", "web2")]
    assert keys(plan) == [("shop", "version", "changed")]
