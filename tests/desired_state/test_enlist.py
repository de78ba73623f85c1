"""Writing a host's entry into fleet.yaml changes nothing else in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired_state.add_host import add_host, read_fleet_of, with_host
from reconciler.errors import InvalidDesiredState, UsageError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPDWwf71OhBoJHC9Hdvut+B1YnpNaq9Xiznvc9Z5UnEN"
KEYS = {"address": "203.0.113.7", "user": "reconcile", "host_key": KEY}
ENTRY = f"  web1:\n    address: 203.0.113.7\n    user: reconcile\n    host_key: {KEY}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"hosts:\n{ENTRY}"),
        ("# ours\n", f"# ours\n\nhosts:\n{ENTRY}"),
        ("owner: me", f"owner: me\n\nhosts:\n{ENTRY}"),
        ("hosts: # all\n", f"hosts: # all\n{ENTRY}"),
        ("hosts:\n  # old\n  db:\n    address: db\n", f"hosts:\n{ENTRY}  # old\n  db:\n    address: db\n"),
        (
            "hosts:\n  web1: # ours\n    address: web1.example.com # old\n    user: root\nowner: me # us\n",
            f"hosts:\n  web1: # ours\n    host_key: {KEY}\n    address: 203.0.113.7 # old\n    user: reconcile\n"
            "owner: me # us\n",
        ),
        (f"hosts:\n{ENTRY}", f"hosts:\n{ENTRY}"),
    ],
)  # fmt: skip
def test_a_host_entry_is_created_or_updated(before: str, after: str) -> None:
    """Comments and order are kept."""
    assert with_host(before, "web1", KEYS, "fleet.yaml") == after


def test_a_fleet_file_that_cannot_be_edited_is_refused_with_the_lines_to_add() -> None:
    """A mapping in braces cannot be edited line by line."""
    with pytest.raises(UsageError) as refused:
        with_host("hosts: {db: {address: db}}\n", "web1", KEYS, "fleet.yaml")

    assert f"add by hand:\nhosts:\n{ENTRY}".rstrip() == refused.value.next_step


def test_the_fleet_file_is_not_rewritten_when_nothing_changes(tmp_path: Path) -> None:
    """The folder is made where there is none; the second time nothing is to be done."""
    folder = tmp_path / "desired-state"

    assert (add_host(folder, "web1", KEYS), add_host(folder, "web1", KEYS)) == (True, False)
    assert read_fleet_of(folder).hosts["web1"].host_key == KEY


def test_a_second_name_for_a_machine_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The file stays as it is."""
    add_host(tmp_path, "web1", KEYS)
    before = (tmp_path / "fleet.yaml").read_text()

    with pytest.raises(InvalidDesiredState):
        add_host(tmp_path, "web2", KEYS)

    assert (tmp_path / "fleet.yaml").read_text() == before
