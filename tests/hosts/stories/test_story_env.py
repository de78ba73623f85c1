"""Values in `env:` arrive byte for byte, and a secret stays secret."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts

NASTY = {
    "QUOTES": """both ' and " and `ticks`""",
    "DOLLARS": "$HOME ${HOME} $(id) $$ %i %% %h",
    "HASH": "# not a comment # either",
    "BACKSLASHES": '\\ \\\\ \\n \\" C:\\dir\\',
    "LINES": "first\nsecond\n\n  third  \n",
    "TABS": "\tone\ttwo\t",
    "CARRIAGE": "dos\r\nline\r",
    "CONTROLS": "\x01\x1b[31mred\x1b[0m\x7f",
    "UNICODE": "grüße, 世界, \u202eright-to-left, e\u0301",
    "EMOJI": "👩‍👩‍👧‍👦 🚀",
    "SPACES": "  around  ",
    "EMPTY": "",
    "ASSIGNMENT": "A=B C='D' export E=F",
    "YAML": "{a: [1, 2]} & *b !c | > - ? yes null ~ 0x10 1.10",
    "JSON": '{"key": "va\\"lue"}',
    "PEM": "-----BEGIN KEY-----\nMIIB+/=\n-----END KEY-----\n",
    "LONG": "x" * 100_000 + "é$end",
}
SECRET = 's3cr3t $"\\`value'


def test_every_legal_value_arrives_byte_for_byte(project: Project) -> None:
    """The running app answers with exactly the bytes that were written into the YAML file."""
    project.converge(env={"GREETING": "Hello", **NASTY})

    arrived = {key: project.get(f"/env/{key}") for key in NASTY}

    assert arrived == {key: (200, value.encode()) for key, value in NASTY.items()}


def test_a_secret_is_stored_only_in_the_env_file(project: Project) -> None:
    """Not in any process's arguments, journal, unit property, other file, output, nor on this machine."""
    project.commit(env={"GREETING": {"secret": "hello/greeting"}, "PLAIN": "plain"}, migrate="bin/app migrate")
    given = {"RECONCILE_SECRET_HELLO_GREETING": SECRET}
    watch = project.machine.run(WATCH_ARGUMENTS).stdout.strip()

    plan = project.plan("--json", **given)
    once = project.once("--verbose", **given)
    status = project.run("status", "--json", **given)
    again = project.plan("--verbose", **given)

    assert (plan.code, once.code, status.code, again.code) == (3, 0, 0, 0), str(once)
    assert project.get() == (200, f"{SECRET} from app 0.1.0\n".encode())
    said = "".join(result.out + result.err for result in (plan, once, status, again))
    assert "s3cr3t" not in said
    port = project.keys["ports"][0]
    env_file = f"/etc/reconcile/{project.app}/{port}.env"
    found = project.machine.run(f"kill {watch}; {WHERE_IS_IT}", stdin=project.app.encode()).stdout.splitlines()
    app_wrote = f"/var/lib/private/{project.app}/migrations"  # its own doing, and for itself alone
    assert found == [f"{env_file} 600", f"{app_wrote} 600", "arguments seen: yes"]
    here = [p for p in project.folder.parent.rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes()]
    assert here == []
    missing = project.once()
    assert (missing.code, missing.verbs) == (1, [])
    assert "env GREETING: the secret hello/greeting is not known\n" in missing.told
    way = "reconcile secrets set hello/greeting, or set RECONCILE_SECRET_HELLO_GREETING in the environment of reconcile"
    assert f"next: {way}\n" in missing.told


WATCH_ARGUMENTS = """\
(while :; do cat /proc/[0-9]*/cmdline; done >/run/arguments 2>/dev/null) >/dev/null 2>&1 &
echo $!
"""
WHERE_IS_IT = """\
read -r app || :
# In pieces, so that this script's own arguments do not count.
value=s3cr
value=${value}3t
for file in $(grep -rlsF "$value" /etc /srv /var /run /tmp /root /home /usr/local | sort); do
  stat -c '%n %a' "$file"
done
journalctl --no-pager -o json | grep -F "$value"
systemctl show "$app@*" "$app-migrate.service" | grep -F "$value"
grep -qaF systemd-run /run/arguments && echo 'arguments seen: yes'
"""


def test_only_root_can_read_an_env_file(project: Project) -> None:
    """Mode 0600 in folders that only root may enter; the app's own user cannot read it either."""
    project.converge()

    port = project.keys["ports"][0]
    folder = f"/etc/reconcile/{project.app}"
    modes = project.machine.run(f"stat -c '%n %a %U' /etc/reconcile {folder} {folder}/{port}.env").stdout
    assert modes == f"/etc/reconcile 700 root\n{folder} 700 root\n{folder}/{port}.env 600 root\n"
