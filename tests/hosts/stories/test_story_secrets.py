"""Secrets encrypted in the repository reach only their app."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from urllib.parse import quote

import pyrage
import pytest

from reconciler.secrets.sealed import Recipient, seal
from tests.hosts.stories.project import Project, nothing_touched
from tests.support.sops_files import sops_file

pytestmark = pytest.mark.hosts

CONTROLLER, SOMEBODY = (pyrage.x25519.Identity.generate() for _ in range(2))
KEY = """-----BEGIN KEY-----\npl4nted/MIIB+/=$HOME "quoted" 'single' `id` %i %%\nsecond ü 世界\n-----END KEY-----\n"""
PASSWORD = 'pl4nted-$word "\\x" #é'
ROTATED = 'pl4nted-rotated $ "\'"'


def for_(identity: object) -> tuple[Recipient, ...]:
    return (Recipient(str(identity.to_public()), "controller"),)  # type: ignore[attr-defined]


def write(project: Project, name: str, content: str | bytes) -> None:
    path = project.folder / "desired-state/secrets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_encrypted_secrets_reach_only_their_app(project: Project, tmp_path: Path) -> None:
    """One from an age file, one from SOPS; a rotation is a rollout without an upload; no byte of them is elsewhere."""
    keys = tmp_path / "keys.txt"
    keys.write_text(str(CONTROLLER))
    project.environ["RECONCILE_AGE_KEY_FILE"] = str(keys)
    write(project, f"{project.app}/key.age", seal(KEY.encode(), for_(CONTROLLER)))
    write(project, "production.sops.yaml", sops_file({"db": {"password": PASSWORD}}, [for_(CONTROLLER)[0].key]))
    env = {
        "KEY": {"secret": f"{project.app}/key"},
        "PASSWORD": {"secret": "production/db/password"},
        "GREETING": "Hello",
    }
    project.commit(env=env, migrate="bin/app migrate")
    watch = project.machine.run(WATCH_ARGUMENTS).stdout.strip()

    first = project.once("--verbose")
    assert (first.code, "install" in first.verbs) == (0, True), str(first)
    assert (project.get("/env/KEY"), project.get("/env/PASSWORD")) == ((200, KEY.encode()), (200, PASSWORD.encode()))

    write(project, "production.sops.yaml", sops_file({"db": {"password": ROTATED}}, [for_(CONTROLLER)[0].key]))
    project.commit()
    planned = project.plan("--verbose")
    assert (planned.code, "env PASSWORD changed" in planned.out) == (3, True), str(planned)
    rotated = project.once("--verbose")
    assert (rotated.code, "start" in rotated.verbs, "install" in rotated.verbs) == (0, True, False), str(rotated)
    assert (project.get("/env/KEY"), project.get("/env/PASSWORD")) == ((200, KEY.encode()), (200, ROTATED.encode()))

    write(project, f"{project.app}/key.age", seal(b"pl4nted, for somebody else", for_(SOMEBODY)))
    project.commit(version="0.2.0")
    with nothing_touched(project.machine):
        refused = project.once("--verbose")
    assert (refused.code, refused.verbs) == (1, [])
    assert (
        f"env KEY: secrets/{project.app}/key.age is not encrypted for the keys in RECONCILE_AGE_KEY_FILE"
        in refused.told
    )
    assert project.version_served == "0.1.0"

    # What never gets healthy takes the longest way: its log is told, and it is remembered on the host.
    write(project, f"{project.app}/key.age", seal(KEY.encode(), for_(CONTROLLER)))
    broken = {**env, "NEVER_HEALTHY": "1", "FAIL_BOOT": "1", "DATABASE_URL": {"secret": "production/db/password"}}
    project.commit(env=broken)
    failed = project.once("--verbose")
    assert (failed.code, "***" in failed.told) == (1, True), str(failed)
    status = project.run("status", "--json")
    history = project.run("history", project.app)
    log = project.run("logs", project.app)
    assert (history.code, log.code, "***" in log.out) == (0, 0, True)

    runs = (first, planned, rotated, refused, failed, status, history, log)
    said = "".join(result.out + result.err for result in runs)
    assert [form for form in FORMS if form in said] == []
    find = f"kill {watch}\n{WHERE_IS_IT}"
    found = project.machine.run(find, stdin="\n".join([project.app, *FORMS]).encode()).stdout.splitlines()
    port = project.status()["slot"]
    assert found == [f"/etc/reconcile/{project.app}/{port}.env 600 root", "700 /etc/reconcile", "arguments seen: yes"]
    here = [p for p in project.folder.rglob("*") if p.is_file() and b"pl4nted" in p.read_bytes()]
    assert here == []


LINES = [line for line in KEY.splitlines() if "pl4nted" in line or "second" in line]
FORMS = [
    form
    for value in (KEY, PASSWORD, ROTATED, *LINES)
    for form in {
        *value.splitlines(),
        base64.b64encode(value.encode()).decode()[:-4],
        quote(value),
        quote(value, safe=""),
        shlex.quote(value).splitlines()[0],
        json.dumps(value)[1:-1],
    }
    if "-----" not in form
]

WATCH_ARGUMENTS = """\
(while :; do cat /proc/[0-9]*/cmdline; done >/run/arguments 2>/dev/null) >/dev/null 2>&1 &
echo $!
"""
# The forms come on stdin, so that nothing here holds one; the app writes its own log, and says there what it likes.
WHERE_IS_IT = """\
read -r app || :
cat >/run/forms
places='/etc /srv /var/lib /run /tmp /root /home /usr/local'
for file in $(grep -rlsFf /run/forms $places | grep -vx /run/forms | sort); do
  stat -c '%n %a %U' "$file"
done
stat -c '%a %n' /etc/reconcile
journalctl --no-pager -o json -t sudo -t systemd -t reconcile | grep -Ff /run/forms
systemctl show "$app@*" "$app-migrate.service" | grep -Ff /run/forms
grep -qaF systemd-run /run/arguments && echo 'arguments seen: yes'
rm -f /run/forms /run/arguments
"""
