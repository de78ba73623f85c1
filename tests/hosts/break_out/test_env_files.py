"""f: an env file that the guard takes is read by systemd as reconcile meant it, and sets nothing that is not an app's.

The oracle is the systemd of each kind of host: 252 of Debian 12, 255 of Ubuntu 24.04. They differ: what one takes for
the end of a comment the other goes on with. So the guard takes one form only, and judges here on the hosts themselves.
"""

from __future__ import annotations

import base64
import random
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.apply.runner import tar_of
from reconciler.demo.unit import read_env_file
from reconciler.model.identity import Identity
from reconciler.model.machine import Layout
from reconciler.model.reserved import ENV_KEYS
from reconciler.tools.host_program import verb_file
from reconciler.tools.systemd import env_file
from tests.hosts.conftest import MachineFactory
from tests.hosts.distribution import available
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine

pytestmark = pytest.mark.hosts

IDENTITY = Identity("1.0-0123456789ab", "0" * 12, "1" * 12)
HEAD = env_file(IDENTITY, {}, (("A", "2" * 12),))


@dataclass(frozen=True)
class Env:
    """An env file: what is tried in it, and whether the guard takes it."""

    name: str
    text: str = field(repr=False)
    taken: bool = False

    def __str__(self) -> str:
        return self.name


def ours(name: str, **values: str) -> Env:
    return Env(name, env_file(IDENTITY, values, (("A", "2" * 12),)), taken=True)


ENVS = [
    ours("nothing but its head"),
    ours("plain words", A="b", B="", C="a b  c ", _D="1", e="2", E2="3"),
    ours("all that must be escaped", A='"', B="\\", C="$X ${Y} $(id)", D="`id`", E='\\"', F="end\\"),
    ours("all that need not be", A="'", B="#", C=";", D="=", E="!", F="%i %%", G="~", H="*", I="\t", J="\x01\x1b\x7f"),
    ours("several lines", A="a\nb\n", B="\n", C='x\n"\n', D="-----BEGIN\nKEY\n-----END\n"),
    ours("lines like assignments", A='x"\nLD_PRELOAD="/tmp/x.so', B='\nLD_AUDIT="x"\n', C="\nPATH=/tmp\n# x"),
    ours("lines that end in a backslash", A="a\\\nb", B="a\\\\\n", C="\\\n\\\n"),
    ours("carriage returns", A="\r", B="a\r\nb", C="\rLD_PRELOAD=x"),
    ours("Unicode", A="Grüße ✓", B="\u2028\u2029\x85", C="\ufeff", D="😀"),
    ours("names that are like numbers", E1="1", INF="2", NAN="3", X10="4", X9="5"),
    ours("a long value", A="x" * 100_000, B='"' * 50_000),
    # what systemd before 254 reads otherwise than later ones
    Env("a comment that goes on", HEAD + '# c\\\nA="\nLD_PRELOAD=/tmp/x.so\nNOTIFY_SOCKET=/x\n"\n'),
    Env("a head line that goes on", HEAD.replace("2\nREC", '2\\\nLD_PRELOAD="x"\nREC')),
    Env("a first line that goes on", HEAD.replace("1\n# key", '1\\\nLD_PRELOAD="x"\n# key')),
    Env("a comment with ; that goes on", HEAD + '; c\\\nLD_PRELOAD="x"\n'),
    Env("a comment ended by a carriage return", HEAD + '# c\rLD_PRELOAD="x"\n'),
    Env("a head line ended by a carriage return", HEAD.replace("2\nREC", '2\rLD_PRELOAD="x"\nREC')),
    Env("a comment behind a variable", HEAD + '# A=" \\\nLD_PRELOAD=x\n'),
    # what all read, and reconcile does not write
    Env("a name that is not an app's", HEAD + 'LD_PRELOAD="x"\n'),
    Env("a name with a space before it", HEAD + ' LD_PRELOAD="x"\n'),
    Env("a name with a space behind it", HEAD + 'LD_PRELOAD ="x"\n'),
    Env("a name with a tab before it", HEAD + '\tLD_AUDIT="x"\n'),
    Env("no quotes", HEAD + "LD_PRELOAD=x\n"),
    Env("single quotes", HEAD + "A='x\nLD_PRELOAD=y'\n"),
    Env("two kinds of quotes", HEAD + "A=\"x\"'\nLD_PRELOAD=y'\n"),
    Env("quotes closed and a line that goes on", HEAD + 'A="x"\\\n LD_PRELOAD="y"\n'),
    Env("words behind the quotes", HEAD + 'A="x" LD_PRELOAD="y"\n'),
    Env("quotes that are never closed", HEAD + 'A="x\nLD_PRELOAD=y\n'),
    Env("a quote in the middle", HEAD + 'A="x"y"\nLD_PRELOAD=z\n"\n'),
    Env("an escape of something else", HEAD + 'A="\\n"\n'),
    Env("a backslash before the last quote", HEAD + 'A="x\\"\nLD_PRELOAD="y"\n'),
    Env("two backslashes before the last quote", HEAD + 'A="x\\\\"\nB="\\\\\\"\nLD_PRELOAD="y"\n'),
    Env("a line that goes on within quotes", HEAD + 'A="x\\\ny"\n'),
    Env("an expansion", HEAD + 'A="$PATH"\n'),
    Env("an empty line", HEAD + '\nA="x"\n'),
    Env("a variable twice", HEAD + 'A="x"\nA="y"\n'),
    Env("another RECONCILE_INSTANCE", HEAD + 'RECONCILE_INSTANCE="2.0-0123456789ab/0/1"\n'),
    Env("RECONCILE_INSTANCE of something else", HEAD.replace('="1.0', '="2.0')),
    Env("a last line without its end", HEAD + 'A="x"'),
    Env("a byte order mark", "\ufeff" + HEAD),
    Env("a carriage return at the end of a line", HEAD + 'A="x"\r\nB="y"\r\n'),
    Env("a line feed of Unicode between variables", HEAD + 'A="x"\u2028LD_PRELOAD="y"\n'),
    Env("a name of two words", HEAD + 'A LD_PRELOAD="x"\n'),
    Env("an export", HEAD + 'export LD_PRELOAD="x"\n'),
    Env("an equals sign more", HEAD + '="x"\nLD_PRELOAD="y"\n'),
]
PIECES = ("\\", '"', "\n", "\r", "#", ";", " ", "'", "$", "`", "=", 'A="', 'B="x"\n', "LD_PRELOAD=", "\\\n", '"\n')


def garbled(seed: int) -> Env:
    """Something that reconcile might have written, spoiled in up to three places."""
    pick = random.Random(seed)
    values = {name: "".join(pick.choices(PIECES, k=pick.randint(0, 6))) for name in "AC"}
    text = env_file(IDENTITY, values, (("A", "2" * 12),))
    for _ in range(pick.randint(0, 3)):
        at = pick.randrange(len(HEAD) - 40, len(text) + 1)
        text = text[:at] + pick.choice(PIECES) + text[at + pick.randint(0, 1) :]
    return Env(f"garbled {seed}", text)


JUDGE = """\
mkdir -p /root/envs && cd /root/envs && tar -xf - && for each in [0-9]*; do
  if sh ../guard.sh "$PWD/$each" 2>/dev/null; then echo "$each"; fi
done
"""
# With whatever is in it: a unit that systemd refuses to start sets nothing.
READ = "cd /root/envs && systemd-run --quiet --wait --pipe -p EnvironmentFile=$PWD/{} env -0 2>/dev/null | base64 -w0"


@pytest.fixture(scope="module", params=available(), ids=lambda distribution: distribution.name)
def host(request: pytest.FixtureRequest, farm: Farm, machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory(f"env-{request.param.name}", with_traefik=False, distribution=request.param)
    head = verb_file(Layout()).partition("[ $# -ge 2 ]")[0]
    machine.write("/root/guard.sh", f'{head}\napp=hello\nsound_env "$1"\n')
    yield machine
    farm.remove(machine)


def taken_by_guard(host: Machine, envs: list[Env]) -> set[int]:
    """Which of them the guard takes, by number; they lie on the host afterwards."""
    files = {str(number): each.text for number, each in enumerate(envs)}
    return {int(line) for line in host.run(f"rm -rf /root/envs; {JUDGE}", stdin=tar_of(files)).stdout.split()}


def read_by_systemd(host: Machine, number: int | str) -> dict[str, str]:
    """What a process gets from this file."""
    data = base64.b64decode(host.run(READ.format(shlex.quote(str(number)))).stdout).decode()
    found = dict(each.partition("=")[::2] for each in data.split("\0") if each)
    return {key: value for key, value in found.items() if key not in host_sets(host)}


def host_sets(host: Machine, _known: dict[str, frozenset[str]] = {}) -> frozenset[str]:  # noqa: B006 - a cache
    """The variables that are there without any file."""
    if host.name not in _known:
        said = host.run("systemd-run --quiet --wait --pipe env").stdout
        _known[host.name] = frozenset(line.partition("=")[0] for line in said.splitlines())
    return _known[host.name]


def test_the_guard_and_systemd_read_alike(host: Machine) -> None:
    """Each text that reconcile writes is taken, and read as it is meant; of the others none is taken."""
    taken = taken_by_guard(host, ENVS)

    assert {ENVS[number].name for number in taken} == {each.name for each in ENVS if each.taken}
    for number in taken:
        assert read_by_systemd(host, number) == read_env_file(ENVS[number].text), ENVS[number].name


def test_refused_env_files_would_have_set_forbidden_variables(host: Machine) -> None:
    """So the table is of real dangers; which of them are, differs between versions of systemd."""
    taken_by_guard(host, ENVS)

    read = {env.name: read_by_systemd(host, number) for number, env in enumerate(ENVS) if not env.taken}

    dangers = {name for name, values in read.items() if values.keys() & ENV_KEYS.keys()}
    assert {"no quotes", "a comment ended by a carriage return", "a name with a space before it"} <= dangers
    assert ("a comment that goes on" in dangers) == (Path(host.folder).name == "env-debian")


def test_a_garbled_env_file_that_is_accepted_is_read_as_meant(host: Machine) -> None:
    """f: five hundred files, each spoiled somewhere: what the guard takes all the same is read as it is meant."""
    envs = [garbled(seed) for seed in range(500)]

    taken = sorted(taken_by_guard(host, envs))

    assert len(taken) > 50
    for number in taken[:80]:
        values = read_by_systemd(host, number)
        assert values == read_env_file(envs[number].text), envs[number]
        assert not values.keys() & ENV_KEYS.keys()
