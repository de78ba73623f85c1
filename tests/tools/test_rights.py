"""Modes and owners of what is ours are looked at and put back; not those in a release, nor of what is an app's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler.model.machine import Layout
from reconciler.tools.look import Unreadable, read_reply
from reconciler.tools.script_text import join_scripts
from tests.support.failing_host import SHELL, FailingHost
from tests.support.look_text import apart, case, framed
from tests.tools.test_failing_commands import APP, LIVE, OLD, SLOT, act
from tests.tools.test_failing_commands import open_to_others as open_some_to_others
from tests.tools.test_private_files import WITH_BOTH

RELEASE = f"releases/{APP}/releases/{OLD}"


@pytest.fixture
def host(tmp_path: Path) -> FailingHost:
    """A host that serves, as all umasks of this suite leave it."""
    host = FailingHost(tmp_path)
    host.make()
    for step in (*LIVE, WITH_BOTH):
        assert step(host).status == 0
    return host


def open_to_others(host: FailingHost) -> None:
    open_some_to_others(host)
    host.path(f"traefik/{APP}.pem").chmod(0o644)


def odd(host: FailingHost) -> list[str]:
    """What a look finds."""
    head = join_scripts("prelude", "rights")
    words = (*host.layout.model_dump().values(), "me", "0", "me", "-", "-", "-", APP)
    text = f'{head}find_rights "$@"\n'
    done = subprocess.run([SHELL, "-c", text, "x", *words], capture_output=True, text=True, check=True)
    return [line.replace(f"{host.root}/host/", "").replace("/./", "/") for line in done.stdout.splitlines()]


def test_what_was_written_as_it_should_be_is_not_found(host: FailingHost) -> None:
    assert act("restore", APP)(host).status == 0  # the folders of the test itself
    assert odd(host) == []


def test_each_changed_mode_is_found_and_put_back(host: FailingHost) -> None:
    act("restore", APP)(host)
    before = host.snapshot()
    open_to_others(host)

    found = odd(host)

    assert sorted(line.split()[2] for line in found) == [
        f"env/{APP}/{SLOT}.env", RELEASE, f"state/{APP}/owner", f"traefik/{APP}.htpasswd", f"traefik/{APP}.pem",
        f"traefik/{APP}.yml", f"units/{APP}@.service",
    ]  # fmt: skip
    assert act("restore", APP)(host).status == 0
    assert (odd(host), host.snapshot()) == ([], before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_each_changed_owner_is_found_and_put_back(host: FailingHost) -> None:
    """Also of folders; and never by way of a link that the other user made meanwhile."""
    act("restore", APP)(host)
    secret = host.root / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    for name in (f"env/{APP}", f"env/{APP}/{SLOT}.env", f"releases/{APP}/releases", RELEASE, f"state/{APP}/inventory"):
        os.chown(host.path(name), 65534, 65534)
    host.path(f"releases/{APP}/releases/evil").symlink_to(secret)
    os.chown(host.path(f"{RELEASE}/erts-1"), 65534, 65534)

    assert len(odd(host)) == 5
    assert act("restore", APP)(host).status == 0
    assert odd(host) == []
    assert (secret.stat().st_mode & 0o777, host.path(f"{RELEASE}/erts-1").stat().st_uid) == (0o600, 65534)


def test_what_is_the_apps_own_or_was_there_before_is_not_looked_at(host: FailingHost) -> None:
    """Folders beside the releases, what is in a release, and the folder around them of an app that was adopted."""
    act("restore", APP)(host)
    host.path(f"releases/{APP}/uploads").mkdir()
    host.path(f"releases/{APP}/uploads").chmod(0o777)
    host.path(f"{RELEASE}/erts-1").chmod(0o777)
    assert odd(host) == []

    host.path(f"releases/{APP}").chmod(0o775)
    assert len(odd(host)) == 1
    host.path(f"state/{APP}/adopted").touch()
    assert odd(host) == []


def test_a_look_shows_them_by_app_and_the_shared_folders_once() -> None:
    lines = "644 0 /etc/reconcile/./hello/4000.env\n755 1000 /etc/reconcile\n700 0 /srv/other/releases"
    reply = framed([*apart(case("one_live_slot")), ("rights", "-", lines)])

    assert read_reply(reply, Layout()).apps["hello"].rights == (
        "/etc/reconcile (mode 755, owner 1000)",
        "/etc/reconcile/hello/4000.env (mode 644, owner root)",
    )
    with pytest.raises(Unreadable):
        read_reply(framed([*apart(case("one_live_slot")), ("rights", "-", "644 root /etc")]), Layout())
