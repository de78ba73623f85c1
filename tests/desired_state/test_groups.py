"""Groups of hosts: which hosts an app runs on, in which order, and what is said of a list that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired_state.groups import choose
from reconciler.desired_state.load import load
from tests.support.desired_folder import HELLO, problems, write

pytestmark = pytest.mark.usefixtures("in_own_folder")

FLEET = """\
hosts:
  web2: {address: 10.0.0.2, groups: [web]}
  web1: {address: 10.0.0.1, groups: [web, eu]}
  db1: {address: 10.0.0.9, groups: [db]}
  web3: {address: 10.0.0.3, groups: [web]}
"""


def on(hosts: str, more: str = "") -> str:
    return HELLO.replace("[web1]", hosts) + more


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ('["group:web"]', ["web2", "web1", "web3"]),
        ('["group:web", "!web3"]', ["web2", "web1"]),
        ('["!web2", "group:web"]', ["web1", "web3"]),
        ('["group:web", "!group:eu"]', ["web2", "web3"]),
        ('["group:web", "!group:eu", "!web1"]', ["web2", "web3"]),
        ("[web3, group:web]", ["web3", "web2", "web1"]),
        ("[group:eu, group:web]", ["web1", "web2", "web3"]),
        ("[group:db, root@10.0.0.7]", ["db1", "root@10.0.0.7"]),
    ],
)
def test_a_group_is_its_hosts_in_the_order_of_the_fleet(hosts: str, expected: list[str]) -> None:
    """The first of them proves a version, so the order is that of what people wrote and of nothing else."""
    assert list(load(write({"hello": on(hosts)}, FLEET)).apps[0].hosts) == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("[group:wbe]", "4:9  hosts[0]: no host is in group wbe; did you mean group:web?"),
        ("[web1, group:cache]", "4:15  hosts[1]: no host is in group cache; groups: web, eu, db"),
        (
            '["group:web", "!db1"]',
            "4:22  hosts[1]: !db1 leaves out nothing: no other entry names db1; delete it",
        ),
        (
            '["group:db", "!db1"]',
            "4:8  hosts: leaves out every host that it names; name a host that is to run it",
        ),
        ('["group:db", "!group:nope"]', "4:21  hosts[1]: no host is in group nope; groups: web, eu, db"),
        (
            "[group:web, group:web]",
            "4:20  hosts[1]: group:web is listed twice; delete one of the two",
        ),
        (
            '["group:web", root@10.0.0.2]',
            "4:22  hosts[1]: root@10.0.0.2 is the same machine as web2; write web2 everywhere",
        ),
        ("!web1", "4:8  hosts: tags (!name) are not allowed; delete the tag; text that begins with ! needs quotes"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_at_its_entry(hosts: str, expected: str) -> None:
    """Each is told once, at the entry as it is written: not at its place among the hosts that it stands for."""
    assert problems({"hello": on(hosts)}, FLEET) == [f"apps/hello.yaml:{expected}"]


def test_only_leaving_hosts_out_names_none() -> None:
    found = problems({"hello": on('["!web1"]')}, FLEET)

    assert found[0] == "apps/hello.yaml:4:9  hosts[0]: !web1 leaves out nothing: no other entry names web1; delete it"


def test_without_a_group_the_next_step_is_to_make_one() -> None:
    assert problems({"hello": on("[group:web]")}) == [
        "apps/hello.yaml:4:9  hosts[0]: no host is in group web; write groups: [web] at its hosts in fleet.yaml"
    ]


def test_a_process_runs_on_those_of_a_group_that_the_app_has() -> None:
    more = "processes:\n  mailer: {start: bin/mail, hosts: [group:web]}\n"

    app = load(write({"hello": on('["group:web", group:db, "!web3"]', more)}, FLEET)).apps[0]

    assert (app.hosts, app.processes["mailer"].hosts) == (("web2", "web1", "db1"), ("web2", "web1"))


def test_a_process_on_a_group_without_a_host_of_the_app_is_refused() -> None:
    more = "processes:\n  mailer: {start: bin/mail, hosts: [group:db]}\n"

    assert problems({"hello": on("[group:web]", more)}, FLEET) == [
        "apps/hello.yaml:7:37  processes.mailer.hosts[0]: no host of hello is in group db; groups: web, eu"
    ]


def test_an_unknown_group_is_told_without_what_follows_from_it() -> None:
    """Whether a job's host is one of the app's is not known then; another mistake in the file is told all the same."""
    more = "jobs: {nightly: {run: bin/x, host: web1}}\nprocesses: {m: {start: x, hosts: [group:web]}}\nversin: 1\n"

    assert problems({"hello": on("[group:no]", more)}, FLEET) == [
        "apps/hello.yaml:4:9  hosts[0]: no host is in group no; groups: web, eu, db",
        "apps/hello.yaml:8:1  versin: is not a key; did you mean version?",
    ]


@pytest.mark.parametrize("group", ["Web", "3rd", '"!web"', "a b"])
def test_a_group_has_a_name_that_cannot_be_mistaken_for_a_host(group: str) -> None:
    """group:4000 would be port 4000 of a host called group."""
    fleet = f"hosts: {{web1: {{address: a, groups: [{group}]}}}}"

    assert problems({"hello": HELLO}, fleet) == [
        f"fleet.yaml:1:37  hosts.web1.groups[0]: '{group.strip(chr(34))}' cannot name a group; "
        "use a-z, 0-9, _ and -, a letter first"
    ]


HOSTS = [f"web{number}" for number in range(5)]
FLEETS = st.fixed_dictionaries({name: st.lists(st.sampled_from(HOSTS), unique=True) for name in ("a", "b")})
ENTRIES = st.lists(
    st.tuples(st.sampled_from(["", "!"]), st.sampled_from([*HOSTS, "group:a", "group:b"])).map("".join), max_size=6
)


@given(FLEETS, ENTRIES)
def test_the_hosts_are_those_named_and_not_left_out(groups: dict[str, list[str]], entries: list[str]) -> None:
    """Each once, and never an empty list without a problem."""

    def meant(names: list[str]) -> list[str]:
        return [host for name in names for host in groups.get(name.removeprefix("group:"), [name])]

    chosen = choose(entries, {group: tuple(hosts) for group, hosts in groups.items()})

    without = set(meant([entry[1:] for entry in entries if entry.startswith("!")]))
    named = meant([entry for entry in entries if not entry.startswith("!")])
    assert list(chosen.hosts) == [host for host in dict.fromkeys(named) if host not in without]
    assert chosen.hosts or chosen.problems or not entries


def test_an_option_takes_a_group(tmp_path: Path) -> None:
    desired = load(write({"hello": HELLO}, FLEET))

    assert desired.hosts_in(["db1", "group:web", "web1", "group:no"]) == ("db1", "web2", "web1", "web3", "group:no")
