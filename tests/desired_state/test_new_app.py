"""`reconcile init` and `ports: auto`: a new app gets ports that no other app of the fleet has, written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState

APP = "app: {0}\nversion: 1\nartifact: {{source: x}}\nhosts: [web1]\nstart: x\nports: {1}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "desired-state"


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def ports_of(folder: Path, app: str) -> tuple[int, ...]:
    return next(each.ports for each in load(folder).apps if each.app == app)


def test_init_writes_an_app_that_is_valid_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "shop"]) == 0

    (app,) = load(folder).apps
    assert (app.app, app.version, app.hosts, app.ports) == ("shop", "0.1.0", ("web1",), (4000, 4001))
    assert app.artifact.source == "../build/shop-{version}.tar.gz"
    assert capsys.readouterr().out.startswith("desired-state/apps/shop.yaml: ports 4000 and 4001\nnext: complete it, ")


def test_each_app_gets_ports_of_its_own(folder: Path) -> None:
    """Also none that a file has which is not valid, nor one that Traefik or an app uses besides."""
    write(folder, "fleet.yaml", "hosts: {web7: {address: 192.0.2.7, port: 4008}}\ntraefik: {api_port: 4010}\n")
    write(folder, "apps/a.yaml", APP.format("a", "[4000]") + "sandbox: {extra_ports: [4002]}\n")
    write(folder, "apps/broken.yaml", "app: broken\nports: [4004, 4005]\n")

    assert main(["init", "b"]) == 0
    assert main(["init", "c", "--host", "root@[::1]:22"]) == 0

    (folder / "apps/broken.yaml").unlink()
    assert ports_of(folder, "b") == (4006, 4007)
    assert ports_of(folder, "c") == (4012, 4013)
    assert [app.hosts for app in load(folder).apps if app.app != "a"] == [("web7",), ("root@[::1]:22",)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shop", "desired-state/apps/shop.yaml is there already\nnext: edit it"),
        ("Shop", "'Shop' cannot name an app"),
        (
            "caddy",
            "caddy is a name that a Debian package uses for its user, installed or not\n"
            "next: call it caddy-web, for example",
        ),
    ],
)
def test_init_overwrites_nothing_and_refuses_a_wrong_name(
    folder: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "apps/shop.yaml", "mine")

    assert main(["init", name]) == 2

    assert said in capsys.readouterr().err
    assert [path.read_text() for path in folder.rglob("*.yaml")] == ["mine"]


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_set_writes_two_free_ports_in_place_of_auto(folder: Path, bom: str) -> None:
    """Once: afterwards they are there, and set leaves them."""
    write(folder, "apps/a.yaml", APP.format("a", "[4000, 4001]"))
    write(folder, "apps/b.yaml", bom + "# mine\n" + APP.format("b", "auto   # chosen by set"))

    with pytest.raises(InvalidDesiredState, match=r"ports: are not chosen yet"):
        load(folder)
    assert main(["set", "b", "2"]) == 0

    text = (folder / "apps/b.yaml").read_text()
    assert text == bom + "# mine\n" + APP.format("b", "[4002, 4003]   # chosen by set").replace(
        "version: 1", "version: 2"
    )
    assert main(["set", "b", "3"]) == 0
    assert ports_of(folder, "b") == (4002, 4003)
