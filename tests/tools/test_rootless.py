"""Scope user: no root anywhere. What real hosts show of it stands in hosts/stories/test_story_rootless.py."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.model.action import Blocked
from reconciler.model.identity import Identity
from reconciler.model.machine import BELOW_HOME, HostSpec, Layout
from reconciler.model.observed import HostFacts
from reconciler.tools import scripts
from reconciler.tools.look import read_reply
from reconciler.tools.systemd import env_file, unit_text
from tests.hosts.stories.test_story_env import NASTY
from tests.support.look_text import case, edited, with_lines
from tests.support.world import World, run_pass, wanted
from tests.tools.test_systemd import SANDBOX, SETTINGS

IN_USER_SCOPE = replace(SETTINGS, layout=Layout.model_validate(BELOW_HOME).at_home("%h").model_dump(), scope="user")
APP = "app: hello\nversion: '1'\nartifact: {source: x.tar.gz}\nhosts: [web1]\nports: [4000, 4001]\n"


def run(script: str, *words: str, home: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": home, **environ}
    return subprocess.run(
        ["sh", "-c", script, "reconcile", *words], env=environ, capture_output=True, text=True, check=False
    )


def test_all_folders_are_below_the_home_unless_configured() -> None:
    spec = HostSpec.model_validate({"address": "x", "scope": "user", "paths": {"traefik": "/t"}})

    assert spec.paths == Layout.model_validate(BELOW_HOME | {"traefik": "/t"})
    assert spec.paths.at_home("/home/me").state == "/home/me/.local/state/reconcile"
    assert spec.paths.at_home("/home/me").traefik == "/t"


def test_the_host_finds_the_home_and_the_look_reports_it() -> None:
    """The same look as one of the system scope, with the paths of the login."""
    usual, below = Layout(), Layout.model_validate(BELOW_HOME)
    text = case("in_the_middle_of_a_rollout")
    there = with_lines(text, "host", "home /home/me")
    for key, path in usual.model_dump().items():
        home = getattr(below.at_home("/home/me"), key)
        there = edited(there, path, home, everywhere=True)

    assert read_reply(there, below).apps == read_reply(text, usual).apps


def test_a_folder_below_the_home_is_found_on_the_host(tmp_path: Path) -> None:
    folder = tmp_path / ".local/state/reconcile/.history"
    folder.mkdir(parents=True)
    (folder / "hello").write_text("{}\n")

    told = run(scripts.plain_script("history", "user").text, BELOW_HOME["state"], "hello", home=str(tmp_path))

    assert told.stdout == "{}\n"


@pytest.mark.parametrize(
    ("uid", "home", "what", "next_step"),
    [
        ("0", "/root", "scope user is for a login without root's rights, and this is root", "scope: system"),
        ("4711", "/home/me", "nothing of nobody-4711 outlives the login: linger is off", "loginctl enable-linger"),
        ("4711", "/home/my things", "the home of this login, '/home/my things', fits into no unit file", "log in"),
    ],
)
def test_a_login_that_cannot_run_apps_is_refused_with_the_reason(
    tmp_path: Path, uid: str, home: str, what: str, next_step: str
) -> None:
    (tmp_path / "id").write_text(f'#!/bin/sh\n[ "$1" = -u ] && echo {uid} || echo nobody-{uid}\n')
    (tmp_path / "id").chmod(0o755)

    told = run(scripts.look_script("user").text, home=home, PATH=f"{tmp_path}:{os.environ['PATH']}")

    first, second = told.stderr.splitlines()
    assert (told.returncode, told.stdout, first) == (79, "", what)
    assert next_step in second


def test_a_shell_reads_an_env_file_as_systemd_does(tmp_path: Path) -> None:
    """`exec` has no systemd that would read it."""
    file = tmp_path / "env"
    file.write_text(env_file(Identity("r-1", "e", "u"), NASTY, ()))

    told = subprocess.run(
        ["sh", "-c", 'set -a; . "$1" && exec env -0', "sh", str(file)], env={}, capture_output=True, check=True
    )

    values = dict(entry.split("=", 1) for entry in told.stdout.decode().split("\0") if entry)
    assert {key: values[key] for key in NASTY} == NASTY


def test_a_unit_in_user_scope_needs_no_root_rights() -> None:
    lines = unit_text(IN_USER_SCOPE).splitlines()

    only_root = (
        "User=",
        "DynamicUser=",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "DevicePolicy=",
        "RemoveIPC=",
    )
    assert [line for line in lines if line.startswith(only_root)] == []
    assert "WantedBy=default.target" in lines
    assert "EnvironmentFile=%h/.config/reconcile/my-app/%i.env" in lines
    assert "BindReadOnlyPaths=%h/.local/share/reconcile/my-app" in lines
    assert "TemporaryFileSystem=%h/.local/share/reconcile:ro %t/apps:ro" in lines


def test_on_a_host_without_user_namespaces_the_sandbox_can_be_left_out() -> None:
    unfenced = unit_text(replace(IN_USER_SCOPE, sandbox={**SANDBOX, "shared_users": True}))

    assert "PrivateUsers=" not in unfenced and "TemporaryFileSystem=" not in unfenced
    assert "SystemCallFilter=@system-service" in unfenced


def test_lost_protections_are_reported_once_per_host(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/hello.yaml").write_text(APP)
    (tmp_path / "fleet.yaml").write_text("hosts:\n  web1: {address: x, scope: user}\n  web2: {address: y}\n")

    assert load(tmp_path).notes == (
        "web1: scope user: all its apps run as one user, and only the sandbox separates them from each other and "
        "from the home; they stop when linger is switched off (docs/rootless.md)",
    )


def test_an_app_whose_route_cannot_be_written_is_not_started() -> None:
    world = World()
    world.seen = replace(world.seen, facts=HostFacts(route_trouble="me may not write to /t"))

    end = run_pass(world, wanted())

    assert isinstance(end, Blocked)
    assert (end.kind, end.reason) == ("traefik", "no route can be written: me may not write to /t")
    assert world.actions == []
