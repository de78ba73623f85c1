"""docs/databases.md on a real host with Debian's PostgreSQL: a backup before a migration, and what a drill restores."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.debian_packages import GUEST_ARCHIVE, install_packages, packages
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.proxy import GUEST_BINARY, install_traefik, traefik_binary
from tests.hosts.stories.project import REPOSITORY, Project, Result, command_environ, wait_for
from tests.hosts.stories.project import yaml as one_line
from tests.hosts.stories.small_release import small_release
from tests.support.releases import cached, member, read_members, write_members

pytestmark = pytest.mark.hosts

PAGE = (REPOSITORY / "docs" / "databases.md").read_text(encoding="utf-8")
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
YAML = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# The compiler of queries and the words of other languages are most of what PostgreSQL brings, and are not used here.
LARGE = ("libllvm14", "libz3-4", "libc-l10n", "locales")
# As the host's /etc/environment names a locale that does not exist, Debian's package leaves the cluster to us.
CREATE_CLUSTER = "pg_createcluster 15 main --locale C.UTF-8 --start -- --no-sync"

QUERY_SHOP = 'psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="$1" "$DATABASE_URL"'
QUERY_NOTES = 'sqlite3 -bail "$STATE_DIRECTORY/db.sqlite3" "$1"'
PROGRAM = """\
#!/bin/sh
query() {{ {query}; }}
case $1 in
  start) query 'select 1' && exec "$(dirname "$0")/app" start ;;
  migrate) query "$(cat migration.sql)" ;;
esac
"""
MIGRATIONS = {
    "1.0.0": "create table orders (customer text); insert into orders values ('Ada'), ('Grace')",
    "1.1.0": "delete from orders",
    "1.2.0": "drop table orders",
}


def shown(language: list[str], words: str) -> str:
    """The one block of the page with these words."""
    (block,) = (block for block in language if words in block)
    return block


def release(app: str, version: str) -> Path:
    """The small release with the page's scripts in it; it starts only if it can use its database."""
    scripts = {f"bin/{app}": PROGRAM.format(query=QUERY_SHOP if app == "shop" else QUERY_NOTES)}
    scripts["bin/backup"] = shown(SHELL, "# bin/backup: " + ("writes a dump" if app == "shop" else "copies"))
    scripts["bin/restore-drill"] = shown(SHELL, "# bin/restore-drill: ")
    members = read_members(small_release(version))
    members += [member(name, data=text.encode(), mode=0o755) for name, text in scripts.items()]
    members.append(member("migration.sql", data=MIGRATIONS[version].encode()))
    parts = [part for info, data in members for part in (info.name, data)]
    return cached(f"{app}-{version}.tar.gz", lambda path: write_members(path, members), *parts)


def write(project: Project, app: str, **changes: Any) -> None:
    """The app's file as the page shows it, but for this host, without a certificate and without long waits."""
    keys = yaml.safe_load(shown(YAML, f"\napp: {app}\n")) | {"hosts": [project.machine.name]}
    keys |= {"route": {"domains": [f"{app}.test"], "tls": False}, "drain_seconds": 1}
    keys |= {"health": {"path": "/ping", "minimum_healthy_seconds": 0}, **changes}
    path = project.folder / "desired-state" / "apps" / f"{app}.yaml"
    path.write_text("".join(f"{key}: {one_line(value)}\n" for key, value in keys.items()), encoding="utf-8")


def env() -> dict[str, str]:
    """The env of the page with a repository of restic, which here is a folder."""
    first, second = (yaml.safe_load(shown(YAML, words))["env"] for words in ("\napp: shop\n", "with copies elsewhere"))
    assert second.pop("RESTIC_REPOSITORY").startswith("s3:")
    others = {key: value for key, value in second.items() if not key.startswith("AWS_")}
    return {**first, **others, "RESTIC_REPOSITORY": "/var/lib/shop/elsewhere"}


@pytest.fixture
def machine(farm: Farm) -> Iterator[Machine]:
    archive = packages("postgresql", "libnss-systemd", "restic", "sqlite3", without=LARGE)
    machine = farm.add("database", {traefik_binary(): GUEST_BINARY, archive: GUEST_ARCHIVE})
    install_packages(machine)
    machine.run(CREATE_CLUSTER)
    install_traefik(machine)
    yield machine
    farm.remove(machine)


@pytest.fixture
def project(machine: Machine, ssh_home: Path, command_cache: Path, tmp_path: Path) -> Project:
    environ = command_environ(ssh_home, command_cache) | {"RECONCILE_SECRET_SHOP_RESTIC_PASSWORD": "a" * 30}
    project = Project(tmp_path / "servers", "shop", machine, environ, {"version": "and notes"})
    (project.folder / "desired-state" / "apps").mkdir(parents=True)
    (project.folder / "build").mkdir()
    for app in ("shop", "notes"):
        for version in MIGRATIONS:
            (project.folder / "build" / f"{app}-{version}.tar.gz").write_bytes(release(app, version).read_bytes())
    return project


def as_root(project: Project, words: str, backup: str = "") -> None:
    """What the page has people type on the server, in the block with these words; `backup` is the one to restore."""
    block = shown(SHELL, words).replace("2026-11-30T030000Z", backup)
    lines = [line for line in block.splitlines() if not line.startswith("apt-get install")]
    project.machine.run("\n".join(["set -e", *lines]))


def backups(project: Project, app: str) -> list[str]:
    """The times of the app's backups, the oldest first; only the app may read them."""
    files = project.machine.run(f"find /var/lib/private/{app}/backups -type f -printf '%f %m\\n' | sort").stdout
    assert {line.split()[1] for line in files.splitlines()} == {"600"}
    return [line.partition(".")[0] for line in files.splitlines()]


def typed(project: Project, words: str) -> Result:
    """What the page has people type where their repository is: the block that is this one line."""
    (line,) = shown(SHELL, words).splitlines()
    done = project.run(*shlex.split(line)[1:])
    assert done.code == 0, str(done)
    return done


def orders(project: Project, app: str = "shop") -> str:
    """How many orders the app's database has."""
    file = "/var/lib/private/notes/db.sqlite3"
    ask = "runuser -u postgres -- psql -At shop -c" if app == "shop" else f"sqlite3 {file}"
    return project.machine.run(f"cd / && {ask} 'select count(*) from orders'").stdout.strip()


def test_a_migration_is_preceded_by_a_backup_that_a_drill_restores(project: Project) -> None:
    """No backup, no migration. What a migration destroyed comes back by the page's commands, SQLite's too."""
    as_root(project, "createuser shop")
    write(project, "shop")
    write(project, "notes")
    project.converge()
    project.machine.run("runuser -u postgres -- psql -c \"alter role shop password 'secret'\"")
    stranger, knowing = (
        project.run("exec", "notes", "--", "psql", f"postgres://{who}/shop", "--command=select 1")
        for who in ("shop@%2Frun%2Fpostgresql", "shop:secret@127.0.0.1")
    )
    assert 'Peer authentication failed for user "shop"' in stranger.out + stranger.err
    assert (stranger.code, knowing.code) == (2, 0)

    jobs = yaml.safe_load(shown(YAML, "\njobs:\n"))
    write(project, "shop", env=env(), **jobs)
    project.converge()
    typed(project, "restic init")
    write(project, "shop", env=env(), version="1.1.0", **jobs)
    write(project, "notes", version="1.1.0")
    project.converge()
    assert (orders(project), orders(project, "notes")) == ("0", "0")

    as_root(project, "shop_drill from public")
    assert typed(project, "bin/restore-drill\n").out.split() == ["2"]
    ran = project.run("run", "shop", "restore-drill")  # over what the last one left, with what a timer would run
    assert (ran.code, "2" in ran.out.split()) == (0, True), str(ran)
    typed(project, "restic forget")

    project.machine.run("mv /var/lib/private/shop/elsewhere /var/lib/private/shop/away")
    write(project, "shop", env=env(), version="1.2.0", **jobs)
    project.commit()
    failed = project.once()
    assert (failed.code, failed.verbs) == (1, ["install", "migrate"]), str(failed)
    assert "before_migrate" in failed.told
    assert "nothing was migrated" in failed.told
    assert "Fatal: unable to open config file" in failed.told
    assert (orders(project), project.version_served) == ("0", "1.1.0")

    write(project, "shop", env=env())
    write(project, "notes")
    project.converge()
    _, before_the_loss, _ = backups(project, "shop")
    as_root(project, "dropdb --force shop", before_the_loss)
    _, before_the_loss = backups(project, "notes")
    as_root(project, "rm -f db.sqlite3-wal", before_the_loss)
    project.converge()
    assert (orders(project), orders(project, "notes"), project.version_served) == ("2", "2", "1.0.0")

    project.machine.reboot()
    wait_for(lambda: project.get()[0] == 200, 30, "the app serves after the boot")
    assert project.machine.run("systemctl show --property NRestarts --value 'shop@*'").stdout.split() == ["0"]
