"""An attacker with the deploy user's key tries to become root, or to read files that only root may read.

`TRICKS` lists the attempts. Each runs on one real bootstrapped host, as the deploy user over ssh; afterwards the host
must be unchanged, and nothing that only root can read may have been shown.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.runner import tar_of
from reconciler.artifact.archive import prepare
from reconciler.artifact.delta import OLDEST_ZSTD, find_base
from reconciler.artifact.part import part_of
from reconciler.model.desired import Sandbox
from reconciler.model.identity import Identity
from reconciler.model.machine import Layout
from reconciler.model.route import Route
from reconciler.tools.host_program import PROGRAM, verbs, verbs_digest
from reconciler.tools.offer import Question
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.systemd import UnitSettings, env_file, unit_text
from reconciler.tools.traefik import route_text
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.process import wait_until
from tests.hosts.stories.project import command_environ
from tests.hosts.stories.small_release import small_release
from tests.hosts.test_bootstrap import bootstrap
from tests.support.child import killed_at_the_end
from tests.support.releases import sha256

pytestmark = pytest.mark.hosts

APP, SLOT = "hello", "4000"
RELEASE = f"0.1.0-{sha256(small_release('0.1.0'))[:12]}"
SECRETS = ("SHADOW-MARKER", "ROOT-MARKER", "OTHER-MARKER")
PWNED = "touch /root/pwned"
REFUSED = 77

PREPARE = """\
sed -i 's/^root:[^:]*:/root:SHADOW-MARKER:/' /etc/shadow
mkdir -p /etc/cron.d
mkdir -p -m 0700 /etc/reconcile/other /var/lib/reconcile/other
touch /var/lib/reconcile/lease.lock # ours since before
echo 'KEY="OTHER-MARKER"' >/etc/reconcile/other/4010.env
chmod 0600 /etc/reconcile/other/4010.env
cat >/etc/systemd/system/nightly@.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/touch /root/pwned
UNIT
sed 's/pwned/pwned-by-a-job/' /etc/systemd/system/nightly@.service >/etc/systemd/system/hello--sweep.service
printf '[Timer]\nOnCalendar=hourly\nUnit=nightly@1.service\n' >/etc/systemd/system/hello--sweep.timer
mkdir -p /srv/precious/releases
systemctl daemon-reload
(umask 077 && echo ROOT-MARKER >/root/secret) # what is newer was written by a trick
"""
# What must be as it was: whatever is root's, but for what the deploy user may change.
SEALED = """\
{ ls -A /root
  find / -xdev -perm /6000 -type f -printf '%p %m\\n'
  cat /etc/passwd /etc/group /etc/shadow
  find /etc/sudoers* /usr/local /etc/cron* /etc/ld* /etc/ssh /etc/systemd/system/nightly@.service /var/spool/cron \\
    /srv/precious /etc/reconcile/other /etc/profile* -type f -exec sha256sum {} + -o -printf '%p %m %u %l\\n'
  find /etc/systemd /usr/lib/systemd/system -name '*.service' ! -name 'hello@*' -type f -exec sha256sum {} +
  find /etc/traefik -printf '%p %m %u\\n'
} 2>/dev/null | grep -v ssh_host
"""


QUICK = """\
rm -f /var/lib/reconcile/lease
ls -A /root
find /etc/cron.d /etc/sudoers.d /usr/local /srv /tmp /etc/systemd/system -newer /root/secret \\
  ! -path '*hello*' ! -type d ! -name env -printf '%p\\n'
"""


@dataclass(frozen=True)
class Attacker:
    """The deploy user's shell on the host, and the program it may run as root."""

    machine: Machine
    home: Path
    before: str = field(default="", repr=False)
    invocation: str = ""

    @property
    def ssh(self) -> list[str]:
        """The ssh words; all tricks share one connection."""
        shared = f"ControlPath={self.home}/mux-%n"
        options = ["User=reconcile", "ControlMaster=auto", shared, "ControlPersist=60"]
        return [str(self.home / "bin/ssh"), *(word for option in options for word in ("-o", option))]

    def shell(
        self, command: str, stdin: bytes = b"", *options: str, seconds: float = 30
    ) -> subprocess.CompletedProcess[bytes]:
        words = [*self.ssh, *options, self.machine.name, command]
        return subprocess.run(words, input=stdin, capture_output=True, timeout=seconds, check=False)

    def verb(self, verb: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.shell(shlex.join(["sudo", "-n", PROGRAM, verbs_digest(), verb, *arguments]), stdin)

    def change(self, verb: str, *arguments: str, stdin: bytes = b"", **head: str) -> subprocess.CompletedProcess[bytes]:
        """An action as reconcile would send it, with the given parts replaced."""
        return self.verb(verb, *head_words(**head), *arguments, stdin=stdin)


LAYOUT = dict(
    zip(
        ("releases", "env", "units", "state", "routes"),
        ("/srv", "/etc/reconcile", "/etc/systemd/system", "/var/lib/reconcile", "/etc/traefik/dynamic"),
        strict=True,
    )
)


def head_words(**given: str) -> list[str]:
    usual = LAYOUT | {
        "token": "1.2.3.4",
        "seen": "0",
        "holder": "me",
        "owner": "-",
        "dead": "-",
        "commit": "-",
        "word": f"{APP}:{SLOT}",
    }
    return [given.get(name, value) for name, value in usual.items()]


# --- what a sound controller sends, to be spoiled


UNIT = UnitSettings(APP, Layout().model_dump(), Sandbox().model_dump(), 30, "512M", "none", "", True)
IDENTITY = Identity(RELEASE, "0" * 12, UNIT.digest)
ENV = env_file(IDENTITY, {"GREETING": 'Hello, $world "quoted"\nLD_PRELOAD=x', "RECONCILE_START": "bin/app start"}, ())
ROUTE = route_text(RouteSettings(APP, Route(domains=("hello.test",), tls=False), "web", None), SLOT)


def files(unit: str | None = None, env: str | None = None) -> bytes:
    return tar_of({"env": env or ENV, "unit": unit or unit_text(UNIT)})


def start(attacker: Attacker, stdin: bytes, **head: str) -> subprocess.CompletedProcess[bytes]:
    return attacker.change("start", APP, SLOT, RELEASE, attacker.invocation, "-", "none", stdin=stdin, **head)


def member(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info, data = tarfile.TarInfo(name), fields.pop("data", b"")
    for key, value in fields.items():
        setattr(info, key, value)
    info.size = len(data)
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: Any = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def plain(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, data={"env": ENV, "unit": unit_text(UNIT)}.get(name, "x").encode())


def upload(
    *members: tuple[tarfile.TarInfo, bytes], sums: str = "", tree: str = "", held: str = ""
) -> tuple[tuple[str, ...], bytes]:
    """The arguments and stdin of an install whose manifest describes its content truthfully, good or bad."""
    manifest = gzip.compress((sums + tree + held).encode())
    sizes = (str(len(manifest)), str(len(sums.encode())), str(len(tree.encode())))
    return ("9.9.9-" + "0" * 12, *sizes, "1+9", "new", "-", "-"), manifest + tar(*members, mode="w:gz")


def install(
    attacker: Attacker, *members: tuple[tarfile.TarInfo, bytes], sums: str = "", tree: str = "", held: str = ""
) -> Any:
    words, data = upload(*members, sums=sums, tree=tree, held=held)
    return attacker.change("install", APP, *words, stdin=data)


EMPTY_SUM = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# --- the tricks


@dataclass(frozen=True)
class Trick:
    """An attempt and the exit statuses it may have. Any other status is a successful attack, or a broken test."""

    name: str
    how: Callable[[Attacker], subprocess.CompletedProcess[bytes]] = field(repr=False)
    ends: tuple[int, ...] = (REFUSED,)

    def __str__(self) -> str:
        return self.name


def shell(name: str, command: str, *ends: int) -> Trick:
    return Trick(name, lambda attacker: attacker.shell(command), ends or (1,))


def argument(name: str, verb: str, *arguments: str, **head: str) -> Trick:
    signature = verbs().get(verb)  # a wrong number of arguments would be refused before what the trick is about
    assert signature is None or len(signature.words) == len(arguments) or "arguments than" in name, (name, signature)
    return Trick(name, lambda attacker: attacker.change(verb, *arguments, stdin=b"", **head))


def plainly(name: str, verb: str, *arguments: str) -> Trick:
    return Trick(name, lambda attacker: attacker.verb(verb, *arguments))


def unit(name: str, old: str, new: str) -> Trick:
    text = unit_text(UNIT)
    assert old in text, old
    return Trick(f"a unit {name}", lambda attacker: start(attacker, files(unit=text.replace(old, new, 1))))


def sandbox(name: str, **sandbox: Any) -> Trick:
    settings = dataclasses.replace(UNIT, sandbox=Sandbox(**sandbox).model_dump())
    return Trick(f"a unit {name}", lambda attacker: start(attacker, files(unit=unit_text(settings))))


def env(name: str, text: str) -> Trick:
    return Trick(f"an env {name}", lambda attacker: start(attacker, files(env=ENV + text)))


def staged(name: str, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Trick:
    return Trick(f"a staged tar with {name}", lambda attacker: start(attacker, tar(*members, mode=mode)))


def route(name: str, old: str, new: str) -> Trick:
    assert old in ROUTE, old
    return Trick(
        f"a route {name}",
        lambda attacker: attacker.change("cutover", APP, SLOT, "0" * 32, stdin=ROUTE.replace(old, new, 1).encode()),
    )


def uploaded(
    name: str, *members: tuple[tarfile.TarInfo, bytes], sums: str = "", tree: str = "", held: str = ""
) -> Trick:
    # The change itself fails and the look follows: the status is that of the look.
    return Trick(
        f"an upload with {name}",
        lambda attacker: install(attacker, *members, sums=sums, tree=tree, held=held),
        ends=(0,),
    )


def copied(name: str, path: str, *members: tuple[tarfile.TarInfo, bytes], tree: str = "") -> Trick:
    """The host is to copy a file that it has, of the app's release, to this path."""
    with tarfile.open(small_release("0.1.0")) as archive:
        file = archive.extractfile("server.pl")
        assert file
        digest = hashlib.sha256(file.read()).hexdigest()
    return uploaded(name, *members, sums=f"{digest}  {path}\n", tree=tree or f"f 644 {path}\t\n", held="1 1\n")


EXEC = (LAYOUT["releases"], LAYOUT["env"], LAYOUT["units"])


def executed(name: str, command: str) -> Trick:
    words, stdin = (*EXEC, APP, SLOT), f"sh -c {shlex.quote(command)}".encode()
    return Trick(
        f"exec that {name}", lambda attacker: attacker.verb("exec", *words, stdin=stdin), ends=(1, 2, 126, 127)
    )


def scheduled(name: str, units: dict[str, str]) -> Trick:
    return Trick(name, lambda attacker: attacker.change("schedule", APP, stdin=tar_of(units)))


PLACES = (LAYOUT["units"], LAYOUT["state"])
HEAD = f"sudo -n {PROGRAM} {verbs_digest()}"
LOOK = f"{HEAD} look {shlex.join(head_words()[:-1])} no"
EVIL = f"mkdir -p ~/bin && printf '#!/bin/sh\\n{PWNED}\\ncat /etc/shadow\\n' >~/bin/%s && chmod +x ~/bin/%s && "

TRICKS = [
    # sudo itself
    shell("sudo -s", "sudo -n -s id"),
    shell("sudo -i", "sudo -n -i id"),
    shell("sudo sh", "sudo -n /bin/sh -c id"),
    shell("sudo -u#-1", "sudo -n -u#-1 id"),
    shell("sudo su", "sudo -n su -c id"),
    shell("sudoedit", "sudoedit -n /etc/shadow"),
    shell("sudo -e the program", f"sudo -n -e {PROGRAM}"),
    shell("sudo -E with LD_PRELOAD", f"LD_PRELOAD=/tmp/x.so {HEAD.replace('sudo -n', 'sudo -n -E')} offer"),
    shell("variables on sudo's own command line", f"sudo -n BASH_ENV=/tmp/x LD_PRELOAD=/tmp/x {PROGRAM} x offer"),
    shell("sudo in another root", f"sudo -n -R /tmp {PROGRAM} x offer"),
    shell("sudo in another folder", f"sudo -n -D /tmp {PROGRAM} x offer"),
    shell("sudo with open files", f"sudo -n -C 9 {PROGRAM} x offer"),
    shell("sudo as another group", f"sudo -n -g shadow {PROGRAM} x offer"),
    # sudo runs the program that the line names, wherever the link points by then.
    shell("the program by a link", f"ln -sf {PROGRAM} ~/reconcile-host; sudo -n ~/reconcile-host x offer", 78),
    shell("the program by a path with ..", f"sudo -n /usr/local/sbin/../sbin/../../../bin/sh {PROGRAM}"),
    shell(
        "another program of that name first in PATH",
        EVIL.replace("%s", "reconcile-host") + "PATH=~/bin:$PATH sudo -n reconcile-host x offer",
        78,
    ),
    shell("another tar and find first in PATH", EVIL.replace("%s", "find") + f"PATH=~/bin:$PATH {LOOK} hello:4000", 0),
    shell(
        "variables that shells and loaders read",
        f"echo '{PWNED}' >/tmp/env; ENV=/tmp/env BASH_ENV=/tmp/env IFS=/ PS4='$({PWNED})' LD_PRELOAD=/tmp/x.so "
        f"SHELLOPTS=xtrace TAR_OPTIONS='--checkpoint-action=exec=sh' {LOOK} hello:4000",
        0,
    ),
    shell("a limit on the size of files", f"ulimit -f 0; {LOOK} hello:4000", 0),
    shell("no open files left", f"ulimit -n 4; {LOOK} hello:4000", 0, 1, 2, 77, 126, 127),
    shell("overwrite the program", f"cp /bin/sh {PROGRAM}"),
    shell("overwrite the sudoers line", "echo 'reconcile ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/reconcile", 1, 2),
    shell("a program of other scripts", f"sudo -n {PROGRAM} 000000000000 offer", 78),
    shell("no arguments", f"sudo -n {PROGRAM}", REFUSED),
    shell("a root-run unit without sudo", "systemctl start nightly@1", 1, 4),
    shell("a transient unit without sudo", f"systemd-run --wait {PWNED}", 1),
    Trick(
        "a pager in a terminal",
        lambda attacker: attacker.shell(
            f"PAGER='sh -c \"{PWNED}\"' SYSTEMD_PAGER='{PWNED}' LESSOPEN='|{PWNED}' {HEAD} logs {APP} 9 no -",
            b"",
            "-tt",
        ),
        ends=(0,),
    ),
    # verbs and arguments
    argument("a verb that is none", "sh", "-c", "id"),
    argument("a part as a verb", "prelude"),
    argument("a verb with a command in it", f"offer;{PWNED}"),
    argument("an app with ;", "unroute", f"x;{PWNED}"),
    argument("an app with $( )", "unroute", f"$({PWNED})"),
    argument("an app with backticks", "unroute", f"`{PWNED}`"),
    argument("an app with a line end", "unroute", f"{APP}\n{PWNED}"),
    argument("an app that is an option", "unroute", "--root=/tmp"),
    argument("an app with ..", "remove", "../etc"),
    argument("an app with /", "remove", "hello/../../etc"),
    argument("an app that is empty", "remove", ""),
    argument("an app with *", "remove", "*"),
    argument("an app named root", "remove", "root"),
    argument("an app named after a group", "remove", "docker"),
    argument("an app named after a user of this host", "remove", "deploy"),
    argument("an app named after the deploy user", "remove", "reconcile"),
    argument("an app named after a unit of the system", "again", "getty", SLOT, ""),
    argument("an app named after systemd's own", "again", "systemd-fsck", SLOT, ""),
    argument("an app named after a folder of the system's", "remove", "dpkg"),
    argument("an app with root's own unit", "again", "nightly", SLOT, ""),
    argument("root's own unit enabled", "enable", "nightly", SLOT, "", "-"),
    argument("root's own unit stopped for an app's", "enable", APP, SLOT, "", "nightly.service"),
    argument("root's own unit adopted", "mark", "nightly", "adopt", "0"),
    argument("an app of ours adopted", "mark", APP, "adopt", "0"),
    argument("somebody's releases removed", "remove", "precious"),
    plainly("the journal of the system", "logs", "ssh", "9", "no", "-"),
    plainly("the journal of a unit of the system", "logs", "getty", "9", "no", "-"),
    plainly("an option for the journal", "logs", APP, "--file=/etc/shadow", "no", "-"),
    plainly("a history from elsewhere", "history", "/root", APP),
    argument("a slot with /..", "stop", APP, "4000/../../x", ""),
    argument("a slot below 1024", "stop", APP, "22", ""),
    argument("a slot in hex", "stop", APP, "0x1000", ""),
    argument("a slot with an option", "stop", APP, "-4000", ""),
    argument("a number that is evaluated", "drain", APP, SLOT, f"a[$({PWNED})]"),
    argument("an octal number", "drain", APP, SLOT, "08"),
    argument("a number beyond all bounds", "drain", APP, SLOT, "9" * 40),
    # The change refuses, and the look follows.
    Trick(
        "suspended until the year 33658",
        lambda attacker: attacker.change("mark", APP, "suspend", "9" * 12, stdin=b"x"),
        ends=(0,),
    ),
    Trick(
        "a quarantine with another's name in it",
        lambda attacker: attacker.change("mark", APP, "reject", "0", stdin=b"x\ty\n@@ app other 0\n"),
        ends=(0,),
    ),
    argument("a release with ..", "repair", APP, SLOT, "../../../etc-000000000000", ""),
    argument("prune of ..", "prune", APP, ".."),
    argument("prune of .", "prune", APP, "."),
    argument("prune of a path", "prune", APP, ".x/../../../../etc"),
    argument("prune of an option", "prune", APP, "--help"),
    argument("an invocation that is none", "stop", APP, SLOT, "--help"),
    argument("a release with a line end", "reject", APP, SLOT, f"{RELEASE}\nx", "", "-", "none"),
    argument("more arguments than there are", "stop", APP, SLOT, "", "more"),
    argument("fewer arguments than there are", "stop", APP),
    argument("units written elsewhere", "unroute", APP, units="/tmp"),
    argument("releases read from elsewhere", "unroute", APP, releases="/home/reconcile"),
    argument("state kept elsewhere", "unroute", APP, state="/home/reconcile"),
    argument("a lease holder with a line end", "unroute", APP, holder="me\n0 x"),
    argument("a token with a space", "unroute", APP, token="a b"),
    plainly("a look with a command", "look", *head_words()[:-1], "no", f"{APP}:4000,$({PWNED})"),
    # jobs, processes and hooks
    Trick(  # the script itself refuses it
        "root's own unit run as a job",
        lambda attacker: attacker.verb("run_job", *PLACES, APP, "sweep", "60"),
        ends=(1,),
    ),
    plainly("a job with ..", "run_job", *PLACES, APP, "../nightly", "60"),
    plainly("a job that is an option", "run_job", *PLACES, APP, "--root=/tmp", "60"),
    plainly("a job that is a slot", "run_job", *PLACES, APP, "worker", "60"),
    plainly("a job with a command", "run_job", *PLACES, APP, f"x;{PWNED}", "60"),
    plainly("a job with too long a name", "run_job", *PLACES, APP, "x" * 29, "60"),
    plainly("a job of root", "run_job", *PLACES, "root", "x", "60"),
    plainly("a job for ever", "run_job", *PLACES, APP, "x", "9" * 40),
    plainly("a job of units that lie elsewhere", "run_job", "/tmp", "/var/lib/reconcile", APP, "sweep", "60"),
    plainly("the journal of a job with an option", "logs", APP, "9", "no", "--file=/etc/shadow"),
    argument("a job with .. suspended", "pause", APP, "../../x", "suspend", "0"),
    Trick(
        "root's own timer started as a job's",  # the mark is written, the timer is left alone
        lambda attacker: attacker.change("pause", APP, "sweep", "resume", "0", stdin=b"x"),
        ends=(0,),
    ),
    scheduled("root's own unit overwritten", {"hello--sweep.service": "x"}),
    scheduled("a unit that is no job's", {"cron.service": "x"}),
    scheduled("a job by ..", {"hello--../../x.service": "x"}),
    scheduled("a timer of another unit", {"hello--x.timer": "[Timer]\nOnCalendar=hourly\nUnit=nightly@1.service\n"}),
    argument("a process with .. in it", "remove", f"{APP}--../etc"),
    argument("a process of root", "remove", "root--x"),
    argument("a process of an app that is not there", "remove", "absent--x"),
    argument("a process of a process", "again", f"{APP}--a--b", "worker", ""),
    argument("a hook that is none", "hook", APP, "before_migrate", RELEASE, "60"),
    argument("a hook of a release with ..", "hook", APP, "after_rollout", "../x-000000000000", "60"),
    # what is staged
    staged("a link to /etc/shadow", member("env", type=tarfile.SYMTYPE, linkname="/etc/shadow"), plain("unit")),
    staged("a second name of /etc/shadow", member("env", type=tarfile.LNKTYPE, linkname="/etc/shadow"), plain("unit")),
    staged("a second name by ..", member("env", type=tarfile.LNKTYPE, linkname="../../../etc/shadow"), plain("unit")),
    staged("a device", member("env", type=tarfile.CHRTYPE, devmajor=1, devminor=1), plain("unit")),
    staged("a pipe", member("env", type=tarfile.FIFOTYPE), plain("unit")),
    staged("a folder", member("env", type=tarfile.DIRTYPE), plain("unit")),
    staged("a file elsewhere", plain("env"), plain("unit"), plain("/etc/cron.d/x")),
    staged("a file by ..", plain("env"), plain("unit"), plain("../../../etc/cron.d/x")),
    staged("a link, then a file through it", member("a", type=tarfile.SYMTYPE, linkname="/etc/cron.d"), plain("a/x")),
    staged("a name twice", plain("env"), plain("unit"), plain("unit")),
    staged("a file missing", plain("env")),
    staged("an option for a name", plain("env"), plain("unit"), plain("--to-command=sh")),
    staged("compression", plain("env"), plain("unit"), mode="w:gz"),
    Trick("a staged tar that is none", lambda attacker: start(attacker, b"\x00" * 600 + b"x")),
    Trick("a staged tar without end", lambda attacker: start(attacker, b"\x00" * 9_000_000)),
    Trick(
        "a history for somebody else",
        lambda attacker: attacker.verb("finish", *head_words()[:-1], stdin=tar_of({"../../root/x": "{}\n"})),
    ),
    # units
    unit("of root", f"User={APP}", "User=root"),
    unit("of nobody, so of root", f"User={APP}\n", ""),
    unit("with its user in another section", f"User={APP}\n", f"[Install]\nUser={APP}\n[Service]\n"),
    unit("with a second user", f"User={APP}\n", f"User={APP}\nUser=root\n"),
    unit("without a dynamic user", "DynamicUser=yes\n", ""),
    unit("that runs something as root first", "ExecStart=", f"ExecStartPre=+/bin/{PWNED}\nExecStart="),
    unit("that starts as root", "ExecStart=/bin/sh", "ExecStart=+/bin/sh"),
    unit("that stops as root", "ExecStop=/bin/sh", "ExecStop=!/bin/sh"),
    unit("that reads /etc/shadow", f"EnvironmentFile=/etc/reconcile/{APP}/%i.env", "EnvironmentFile=/etc/shadow"),
    unit("that brings root's files in", "PrivateTmp=yes", "PrivateTmp=yes\nBindReadOnlyPaths=/root:/tmp/root"),
    unit("that may write to root's files", "\nInaccessiblePaths=", "\nBindPaths=/etc\nInaccessiblePaths="),
    unit(
        "that may write to root's files in the place for it",
        f"BindReadOnlyPaths=/srv/{APP}\n",
        f"BindReadOnlyPaths=/srv/{APP}\nBindPaths=/etc\n",
    ),
    unit("with a credential of root's", "PrivateTmp=yes", "PrivateTmp=yes\nLoadCredential=x:/etc/shadow"),
    unit("that may gain rights", "NoNewPrivileges=yes\n", ""),
    unit("with the whole system writable", "ProtectSystem=strict", "ProtectSystem=no"),
    unit("with all capabilities", "CapabilityBoundingSet=\n", "CapabilityBoundingSet=~\n"),
    unit("with a line that goes on", "NoNewPrivileges=yes", "NoNewPrivileges=yes \\"),
    unit("with a NUL for a line end", "NoNewPrivileges=yes", "NoNewPrivileges=yes\0User=root"),
    unit("with a carriage return", "NoNewPrivileges=yes", "NoNewPrivileges=yes\rUser=root"),
    unit("of another app", f"Description={APP}", "Description=nightly"),
    unit("wanted by everything", "WantedBy=multi-user.target", "WantedBy=sysinit.target"),
    unit("that ends otherwise", "WantedBy=multi-user.target\n", "WantedBy=multi-user.target\nAlias=getty@1.service\n"),
    sandbox("that may administer the system", capabilities=("CAP_SYS_ADMIN",)),
    sandbox("that reads whatever it likes", capabilities=("CAP_NET_BIND_SERVICE", "CAP_DAC_OVERRIDE")),
    *(
        sandbox(f"that writes to {path}", extra_writable_paths=(path,))
        for path in (
            "/etc",
            "/usr/local",
            "/root/.ssh",
            "/boot",
            "/var/lib/reconcile/hello",
            "/var/lib/dpkg",
            "/run/systemd",
        )
    ),
    # env
    env("with LD_PRELOAD", 'LD_PRELOAD="/tmp/x.so"\n'),
    env("with PATH", 'PATH="/tmp"\n'),
    env("with NOTIFY_SOCKET", 'NOTIFY_SOCKET="/run/systemd/notify"\n'),
    env("without quotes", "X=$(id)\n"),
    env("with quotes that are not closed", 'X="\n'),
    env("with words behind the quotes", 'X="" LD_PRELOAD="/tmp/x.so"\n'),
    env("with a line that goes on", 'X="a\\\nb"\n'),
    env("with an expansion", 'X="$(id)"\n'),
    env("with a NUL", 'X="\0"\n'),
    # routes
    route("that runs a template", "Written by", '{{ env "PATH" }} Written by'),
    route("to another machine", "http://127.0.0.1:4000", "http://169.254.169.254:80"),
    route(
        "with a file of root's as certificate",
        "http:\n",
        "tls:\n  certificates: [{certFile: /etc/shadow, keyFile: /etc/shadow}]\nhttp:\n",
    ),
    route("on the entry point of Traefik's API", '["web"]', '["traefik"]'),
    route("on it in other letters", '["web"]', '["TRAEFIK"]'),
    route("on it by an escape", '["web"]', '["tr\\x61efik"]'),
    route("on two entry points", '["web"]', '["web", "traefik"]'),
    route("in the name of another", f'"{APP}":', '"dashboard":'),
    route(
        "that lets Traefik read a file of root's", "retry: {", 'basicAuth: {"usersFile": "/etc/shadow"}\n      retry: {'
    ),
    # uploads
    uploaded(
        "a setuid program",
        member("su", mode=0o4755),
        sums=f"{EMPTY_SUM}  ./su\n",
        tree="f 4755 ./su\t\n",
    ),
    uploaded(
        "a device", member("mem", type=tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o644), tree="c 644 ./mem\t\n"
    ),
    copied("a copy to outside", "./../../../../../etc/profile.d/x.sh"),
    copied("a copy to outside by two ways", "./bin/../../../../../../etc/profile.d/x.sh", tree="d 755 ./bin\t\n"),
    copied("a folder outside", "./x", tree="d 755 ./../../../../../etc/opened\t\nf 644 ./x\t\n"),
    copied("an absolute folder", "./x", tree="d 755 /etc/opened\t\nf 644 ./x\t\n"),
    copied(
        "a copy through a link",
        "./etc/x",
        member("etc", type=tarfile.SYMTYPE, linkname="/etc"),
        tree="l 777 ./etc\t/etc\n",
    ),
    plainly("an offer of other folders", "offer", "/etc", "/root"),
    Trick(
        "an offer that is asked for a program",
        lambda attacker: attacker.verb(
            "offer", LAYOUT["releases"], LAYOUT["state"], stdin=f'$({PWNED})\nBEGIN {{ system("{PWNED}") }}\n'.encode()
        ),
        ends=(77,),
    ),
    uploaded("a folder for all", member("open", type=tarfile.DIRTYPE, mode=0o777), tree="d 777 ./open\t\n"),
    uploaded(
        "a second name of /etc/shadow",
        member("x", type=tarfile.LNKTYPE, linkname="/etc/shadow"),
        sums=f"{EMPTY_SUM}  ./x\n",
        tree="f 644 ./x\t\n",
    ),
    uploaded(
        "a link, then a file through it",
        member("a", type=tarfile.SYMTYPE, linkname="/etc/cron.d"),
        member("a/x", data=b"* * * * * root touch /root/pwned\n"),
        tree="l 777 ./a\t/etc/cron.d\n",
    ),
    uploaded("a file elsewhere", member("../../../../../etc/cron.d/x", data=b"x"), tree="f 644 ./x\t\n"),
    uploaded("a question about /etc/shadow", sums=f"{EMPTY_SUM}  /etc/shadow\n"),
    uploaded(
        "itself for all to change",
        member(".", type=tarfile.DIRTYPE, mode=0o1777),
        member("su", mode=0o4755),
        sums=f"{EMPTY_SUM}  ./su\n",
        tree="f 4755 ./su\t\n",
    ),
    # with the app's own rights
    executed("reads /etc/shadow", "cat /etc/shadow"),
    executed("reads root's files", "cat /root/secret"),
    executed("reads another app's env", "cat /etc/reconcile/other/4010.env"),
    executed("becomes root", f"sudo -n {PWNED}"),
    executed("runs the program", f"sudo -n {PROGRAM} {verbs_digest()} offer /srv /var/lib/reconcile </dev/null"),
    executed("writes to /etc", "echo x >/etc/cron.d/x"),
    executed("makes a setuid program", "cp /bin/sh /tmp/sh && chmod u+s /tmp/sh"),
    executed("starts root's own unit", "systemctl start nightly@1"),
    Trick(
        "exec for another slot",
        lambda attacker: attacker.verb("exec", *EXEC, APP, "../other/4010", stdin=b"env"),
    ),
    Trick("exec as root", lambda attacker: attacker.verb("exec", *EXEC, "root", SLOT, stdin=b"id")),
    # what lies in its home
    shell(
        "authorized_keys as a link to /etc/shadow",
        f"cp -a ~/.ssh ~/.kept; ln -sfT /etc/shadow ~/.ssh/authorized_keys; {HEAD} doctor {' '.join(LAYOUT.values())};"
        "rm -rf ~/.ssh; mv ~/.kept ~/.ssh",
        0,
    ),
    shell("files while they are staged", "ls /run/reconcile-host.* /etc/reconcile/hello/.stage", 2),
]


def fortified(machine: Machine, ssh_home: Path, folder: Path) -> Attacker:
    """A bootstrapped host, and an attacker with the key of its deploy user."""
    done = bootstrap(folder, command_environ(ssh_home, folder), machine, "--yes")
    assert done.code == 0, str(done)
    return Attacker(machine, ssh_home)


def send(attacker: Attacker, app: str) -> None:
    """A sound release lies on the host, as one of this app."""
    prepared = prepare(small_release("0.1.0"), sha256(small_release("0.1.0")), label="small")
    manifest = gzip.compress(f"{prepared.sums}{prepared.tree}".encode())
    sizes = (str(len(manifest)), str(len(prepared.sums.encode())), str(len(prepared.tree.encode())))
    stdin = manifest + prepared.packed.read_bytes()
    sent = attacker.change("install", app, RELEASE, *sizes, "1+9", "new", "-", "-", stdin=stdin)
    assert b"@@ result - 1\n0\n" in sent.stdout, sent


@pytest.fixture(scope="module")
def attacker(farm: Farm, machine_factory: MachineFactory, ssh_home: Path, tmp_path_factory: Any) -> Iterator[Attacker]:
    """A bootstrapped host on which hello runs, and things that are root's."""
    machine = machine_factory("fort")
    attacker = fortified(machine, ssh_home, tmp_path_factory.mktemp("fort"))
    machine.run(PREPARE)
    send(attacker, APP)
    machine.run(QUICK)
    started = start(attacker, files())
    assert b"@@ result - 1\n0\n" in started.stdout, started
    machine.run(QUICK)
    invocation = machine.run(f"systemctl show -P InvocationID {APP}@{SLOT}").stdout.strip()
    yield dataclasses.replace(attacker, before=machine.run(SEALED).stdout, invocation=invocation)
    farm.remove(machine)


def test_every_trick_has_its_own_name() -> None:
    """Each has a name of its own."""
    names = [trick.name for trick in TRICKS]

    assert len(names) == len(set(names)) > 100


@pytest.mark.parametrize("trick", TRICKS, ids=str)
def test_a_trick_gains_no_rights(attacker: Attacker, trick: Trick) -> None:
    """It is refused, or runs with no more rights than the app has; the host is as before."""
    done = trick.how(attacker)

    said = (done.stdout + done.stderr).decode(errors="replace")
    assert not [secret for secret in SECRETS if secret in said], said
    assert attacker.machine.run(QUICK).stdout == ".bashrc\n.profile\n.ssh\nsecret\n", said
    assert done.returncode in trick.ends, said
    if trick.name.startswith("an upload"):
        assert re.search(r"@@ result - \d\n(1|74)\n", said), said
        assert not attacker.machine.run("ls -A /srv/hello/releases | grep 9.9.9 || :").stdout


def test_after_every_trick_the_host_is_unchanged(attacker: Attacker) -> None:
    """Users, secrets, programs, units and modes, file by file."""
    assert attacker.machine.run(SEALED).stdout == attacker.before


def test_an_upload_cannot_be_reached_before_it_was_checked(attacker: Attacker) -> None:
    """While the upload goes on it contains a setuid program, which only root can reach."""
    words, data = upload(member("su", mode=0o4755), member("rest", data=os.urandom(3_000_000)))
    attacker.machine.run(QUICK)
    command = shlex.join(["sudo", "-n", PROGRAM, verbs_digest(), "install", *head_words(), APP, *words])
    ssh = [*attacker.ssh, attacker.machine.name, command]
    pipe = subprocess.PIPE
    with killed_at_the_end(subprocess.Popen(ssh, stdin=pipe, stdout=pipe, stderr=pipe)) as sending:
        assert sending.stdin
        sending.stdin.write(data[: len(data) // 2])
        sending.stdin.flush()
        wait_until(
            lambda: "4755" in attacker.machine.run("find /srv/hello -name su -printf '%m\\n'").stdout, 10, "it is there"
        )
        seen = attacker.shell("find /srv/hello -name su; ls /srv/hello/releases/.inc*")
        sending.stdin.close()
        sending.wait(20)

    assert b"su" not in seen.stdout.replace(b"/srv", b""), seen
    assert b"Permission denied" in seen.stderr
    kept = "find /srv/hello/releases/.arrived-* -printf '%y %m %P\\n'"
    names = "ls -A /srv/hello/releases | grep '^[.]' || :"
    wait_until(lambda: attacker.machine.run(names).stdout.startswith(".arrived-"), 10, "the upload has ended")
    assert attacker.machine.run(kept).stdout == "d 700 \nf 644 rest\n"
    assert b"Permission denied" in attacker.shell(f"{kept}; ls /srv/hello/releases/.arr*").stderr
    attacker.machine.run("rm -r /srv/hello/releases/.arrived-* /var/lib/reconcile/hello/sums/.arrived-*")


def test_racing_valid_and_bad_calls_leave_only_valid_changes(attacker: Attacker) -> None:
    """Eight calls race for the same app, half of them asking for root: only valid files are left afterwards."""
    unit_file = f"/etc/systemd/system/{APP}@.service"
    before = attacker.invocation
    bad = files(unit=unit_text(UNIT).replace(f"User={APP}", "User=root"))
    attacker.machine.run(QUICK)
    words = shlex.join(["sudo", "-n", PROGRAM, verbs_digest(), "repair", *head_words(), APP, SLOT, RELEASE, before])
    ssh = [*attacker.ssh, attacker.machine.name, words]
    racing = [subprocess.Popen(ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)]
    for number, process in enumerate(racing):
        assert process.stdin
        process.stdin.write(bad if number % 2 else files())
        process.stdin.close()
    ends = [process.wait(30) for process in racing]
    for process in racing:
        assert process.stdout
        process.stdout.close()

    assert ends == [0, REFUSED] * 4
    # systemd 252 knows no growing pauses: prelude.sh gives it the other form.
    as_252_takes_it = re.sub(r"^Restart(Steps|MaxDelaySec)=.*\n", "", unit_text(UNIT), flags=re.MULTILINE)
    as_252_takes_it = as_252_takes_it.replace("\nRestartSec=1\n", "\nRestartSec=5\n")
    assert attacker.machine.read(unit_file) == as_252_takes_it


def test_a_migration_cannot_make_root_load_anything(attacker: Attacker) -> None:
    """Root marks a migration as done: with the app's env, the loader would write a file as root."""
    text = env_file(
        IDENTITY,
        {"RECONCILE_MIGRATE": "true", "LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": "/root/pwned", "TRICKY": 'a"b\\$`c\nd'},
        (),
    )

    attacker.machine.run(QUICK)
    done = attacker.change("migrate", APP, RELEASE, "-", "30", "0" * 12, "30", "none", stdin=files(env=text))

    assert b"@@ result - 1\n0\n" in done.stdout, done
    assert attacker.machine.run("ls -A /root").stdout.split().count("secret") == 1
    assert not attacker.machine.run("ls /root/pwned* 2>/dev/null || :").stdout
    assert attacker.machine.run(f"ls /var/lib/reconcile/{APP}/migrated").stdout == f"{RELEASE}\n"


def test_what_a_version_changes_comes_as_a_delta_by_the_verb(attacker: Attacker) -> None:
    """The host has zstd from here on."""
    shutil.copy("/usr/bin/zstd", attacker.machine.root / "usr/bin/zstd")
    first, second = (prepare(path, sha256(path)) for path in map(small_release, ("0.1.0", "0.2.0")))
    base = find_base(second, [RELEASE], APP)
    assert base
    question = Question(second.sums, first.sums)
    words = ("/srv", "/var/lib/reconcile", APP, RELEASE, base.sums_digest)
    offer = question.read(attacker.verb("offer", *words, stdin=question.stdin).stdout.decode())
    part = part_of(second, offer.held, base)
    head = part.manifest(second)
    sizes = (str(len(head)), str(len(second.sums.encode())), str(len(second.tree.encode())))
    name = f"0.2.0-{second.sha256[:12]}"

    sent = attacker.change(
        *("install", APP, name, *sizes, "1+9", "new", RELEASE, base.sums_digest), stdin=head + part.packed.read_bytes()
    )

    assert offer.zstd >= OLDEST_ZSTD
    assert part.base is base and part.held_bytes
    assert b"@@ result - 1\n0\n" in sent.stdout, sent
    attacker.machine.run(f"rm -r /srv/hello/releases/{name} /usr/bin/zstd")
