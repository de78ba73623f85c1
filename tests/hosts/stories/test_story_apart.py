"""An app tries to read data of another app on its host. It sees only its own releases, state and env."""

from __future__ import annotations

import pytest

from tests.hosts.stories.conftest import NewProject, usual_keys
from tests.hosts.stories.project import Project, wait_for, yaml
from tests.hosts.stories.small_release import small_release

pytestmark = pytest.mark.hosts

MARK = "only-for-the-victim"
VICTIM = "victim"
# Run by the evil app as it starts, in its slot; also by exec. What prints something, or ends well, has got out.
TRIES = {
    "list the releases of another": f"ls /srv/{VICTIM}",
    "see that another has releases": f"ls /srv | grep {VICTIM}",
    "read a release": f"cat /srv/{VICTIM}/releases/*/VERSION",
    "read a cookie": f"cat /srv/{VICTIM}/releases/*/releases/COOKIE",
    "reach a release by its slot": f"cat /srv/{VICTIM}/slots/*/VERSION",
    "reach a release beside its own": f"cat ../../../{VICTIM}/releases/*/VERSION",
    "reach a release by the process that runs it": "cat /proc/$(cat $HOME/pid)/cwd/VERSION",
    "copy the program of epmd": "ls /srv/reconcile-epmd",
    "write a release of another": f"touch /srv/{VICTIM}/x",
    "make a folder for a release": "mkdir /srv/new",
    "write its own release": "touch VERSION",
    "list the env files": "ls /etc/reconcile",
    "read an env file": f"cat /etc/reconcile/{VICTIM}/*",
    "read its own env file": "cat /etc/reconcile/evil/*",
    "read the env of one on trial": "ls /run/reconcile",
    "read the inventory": "ls /var/lib/reconcile",
    "read the state of another": f"cat /var/lib/{VICTIM}/*",
    "read the state of another where systemd keeps it": f"cat /var/lib/private/{VICTIM}/*",
    "see whose state there is": f"ls /var/lib/private | grep {VICTIM}",
    "write the state of another": f"touch /var/lib/private/{VICTIM}/x",
    "take the place of its state": f"mkdir /var/lib/private/{VICTIM}",
    "read the folder of a running instance": f"ls /run/{VICTIM}/*/",
    "read the environment of processes": f"grep -l {MARK} /proc/[0-9]*/environ",
    "see a process of another": "ls -d /proc/$(cat $HOME/pid)",
    "end a process of another": "kill -9 $(cat $HOME/pid)",
    "read the environment of the first process": "cat /proc/1/environ",
    "read the journal": f"journalctl -u {VICTIM}@* -n 1",
    "ask systemd": f"systemctl show {VICTIM}@4000 -P MainPID",
    "tell systemd": f"systemctl stop {VICTIM}@4000",
    "read the credentials of another": "ls /run/credentials/*/",
    "read the temporary files of another": "ls /tmp/systemd-private-* /var/tmp/systemd-private-*",
    "read passwords": "cat /etc/shadow",
    "become another user": f"setpriv --reuid={VICTIM} true",
    "make a namespace of its own": "unshare --user --map-root-user true",
    "mount": "mount -t tmpfs x /tmp",
    "unmount what hides the releases": "umount /srv",
    "make a device": "mknod $HOME/disk b 259 0",
    "read a disk": "ls /dev/sda /dev/vda /dev/nvme0n1 | grep dev",
    "change an interface by netlink": (
        "perl -e 'use Socket; socket(S, 16, SOCK_RAW, 0) or exit 1;"
        " send(S, pack(q(LSSLL CCSlLL), 32, 16, 5, 1, 0, 0, 0, 0, 1, 0, 1), 0);"
        " recv(S, $r, 4096, 0); exit 1 if unpack(q(x16 l), $r)'"
    ),
    "write a route": "touch /etc/traefik/dynamic/evil2.yml",
    "read the log of the kernel": "dmesg",
    "read who may log in": "cat /root/.ssh/authorized_keys",
    "read the key of the host": "cat /etc/ssh/ssh_host_ed25519_key",
}


def script() -> str:
    """Each try in a shell of its own; its name when it ended well or printed something."""
    tries = (
        f"out=$( ({how}) 2>/dev/null && echo well) || :; [ -z \"$out\" ] || echo '{name}'"
        for name, how in TRIES.items()
    )
    return "\n".join(tries) + "\n"


@pytest.fixture
def evil(new_project: NewProject) -> Project:
    """The app that tries, beside a victim with a secret in env and state."""
    project = new_project()
    project.file.unlink()
    project.app = "evil"
    project.add_artifact(small_release("0.1.0"), "0.1.0")
    project.keys |= usual_keys(project, project.keys["ports"][0])
    victim = usual_keys(project, project.keys["ports"][0] + 1000) | {"app": VICTIM, "env": {"GREETING": MARK}}
    victim |= {
        "artifact": {"source": "../build/evil-{version}.tar.gz"},
        "route": {"domains": ["victim.test"], "tls": False},
    }
    victim["start"] = f"sh -c 'echo {MARK} >$STATE_DIRECTORY/own; exec bin/app start'"
    project.write()
    text = "".join(f"{key}: {yaml(value)}\n" for key, value in victim.items())
    project.file.with_name(f"{VICTIM}.yaml").write_text(text)
    return project


def test_an_app_cannot_read_anything_of_another_app(evil: Project) -> None:
    """In the slot and by exec; its own releases are there, also one that came after it was started."""
    project, machine = evil, evil.machine
    live, state = project.keys["ports"][0], "/var/lib/private/evil"
    project.converge(start='sh -c "sh $STATE_DIRECTORY/tries >$STATE_DIRECTORY/got 2>&1; exec bin/app start"')
    machine.write(f"{state}/tries", script())
    machine.run(f"systemctl show -P MainPID {VICTIM}@{live + 1000} >{state}/pid; systemctl restart evil@{live}")
    wait_for(lambda: project.get("/ping")[0] == 200, 60, "it has tried everything")

    assert machine.read(f"{state}/got") == ""
    assert project.run("exec", "evil", "--", "sh", "/var/lib/evil/tries").out == ""
    assert machine.read(f"/var/lib/private/{VICTIM}/own") == f"{MARK}\n"
    machine.run("mkdir /srv/evil/releases/later")
    seen = machine.run(f"nsenter -m -t $(systemctl show -P MainPID evil@{live}) ls /srv /srv/evil/releases").stdout
    machine.run("rmdir /srv/evil/releases/later")
    assert seen == f"/srv:\nevil\n\n/srv/evil/releases:\n{project.release_id('0.1.0')}\nlater\n"


def test_an_app_can_be_given_a_folder_beside_the_releases(new_project: NewProject) -> None:
    """What others keep below /srv is hidden unless the app says that it writes there."""
    project = new_project(sandbox={"extra_writable_paths": ["/srv/shared-uploads"]})
    project.machine.run("mkdir -p -m 1777 /srv/shared-uploads && echo there >/srv/shared-uploads/file")
    project.converge()

    told = project.run(
        "exec", project.app, "--", "sh", "-c", "ls /srv; cat /srv/shared-uploads/file; touch /srv/shared-uploads/new"
    )

    assert (told.code, told.out) == (0, f"shared-uploads\n{project.app}\nthere\n")
    project.machine.run("rm -r /srv/shared-uploads")
