"""One invalid file stops no command that only looks at another app, or runs something in it; a pass changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState
from reconciler.model.options import Options
from reconciler.targets.open_fleet import open_fleet

APP = "app: {0}\nversion: 1\nartifact: {{source: /x, sha256: {1}}}\nhosts: [nobody@127.0.0.1:1]\nports: [{2}]\n"
INVALID = {
    "a wrong key": "app: bad\nverison: 1\n",
    "no YAML": "app: [\n",
    "a port of another app": APP.format("zbad", "1" * 64, 4000),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desired-state/apps").mkdir(parents=True)
    (tmp_path / "desired-state/apps/good.yaml").write_text(APP.format("good", "1" * 64, 4000))
    return tmp_path / "desired-state"


@pytest.mark.parametrize("name", INVALID)
def test_the_other_apps_are_there_for_commands_that_only_look(folder: Path, name: str) -> None:
    bad = "zbad" if "another app" in name else "bad"
    (folder / f"apps/{bad}.yaml").write_text(INVALID[name])

    desired = load(folder, valid_only=True)

    assert [app.app for app in desired.apps] == ["good"]
    assert {problem.file.rpartition("/")[2] for problem in desired.invalid} == {f"{bad}.yaml"}
    with pytest.raises(InvalidDesiredState) as refused:
        load(folder)
    assert refused.value.problems == desired.invalid


def test_an_invalid_fleet_stops_all(folder: Path) -> None:
    """Nobody knows then which machines the names mean."""
    (folder / "fleet.yaml").write_text("hosts: 7\n")

    with pytest.raises(InvalidDesiredState):
        load(folder, valid_only=True)


@pytest.mark.parametrize(
    ("words", "looks"),
    [
        (["status"], True),
        (["status", "--app", "good"], True),
        (["logs", "good"], True),
        (["history", "good"], True),
        (["exec", "good", "--", "true"], True),
        (["rpc", "good", "1"], True),
        (["status", "--app", "bad"], False),
        (["logs", "bad"], False),
        (["exec", "bad", "--", "true"], False),
        (["plan"], False),
        (["plan", "--app", "good"], False),
        (["--once"], False),
        (["--once", "--app", "good"], False),
        (["suspend", "good", "--reason", "x"], False),
        (["retry", "good"], False),
    ],
)
def test_only_commands_that_change_apps_are_refused(
    folder: Path, words: list[str], looks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host cannot be reached here: whoever gets that far says so and ends with 1."""
    (folder / "apps/bad.yaml").write_text(INVALID["a wrong key"])

    code = main(words)

    out, err = capsys.readouterr()
    assert "desired-state/apps/bad.yaml:2:1  verison: " in err
    assert (code, "127.0.0.1" in out + err) == ((1, True) if looks else (2, False))
    assert "(left out here; a pass stops at it)" in err or not looks


def test_nothing_counts_as_gone_while_a_file_is_invalid(folder: Path) -> None:
    (folder / "fleet.yaml").write_text("owner: mine\n")
    (folder / "apps/bad.yaml").write_text(INVALID["no YAML"])

    async def whole() -> bool:
        async with open_fleet(Options(desired_state=folder), valid_only=True) as opened:
            return opened.whole

    assert not asyncio.run(whole())
    (folder / "apps/bad.yaml").unlink()
    assert asyncio.run(whole())


def test_set_writes_one_app_while_another_is_invalid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "apps/bad.yaml").write_text(INVALID["a wrong key"])

    assert main(["set", "good", "2", "--sha256", "2" * 64]) == 0
    assert main(["set", "bad", "2"]) == 2

    assert "version: 2" in (folder / "apps/good.yaml").read_text()
