"""Root never runs with an app's environment: its author must not become root through the dynamic loader.

LD_DEBUG has the loader of every program that is started write a file: one that root owns is a program of root's that
had the app's variables. LD_LIBRARY_PATH, which the loader reads just as soon, would run code instead.
"""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.apply.runner import tar_of
from reconciler.model.identity import Identity
from reconciler.tools.systemd import env_file, unit_text
from tests.hosts.process import wait_until
from tests.hosts.test_break_out import APP, IDENTITY, REFUSED, RELEASE, SLOT, UNIT, Attacker, send

pytestmark = pytest.mark.hosts

TRAEFIK, API = "traefik", "8080"


def told(app: str, **more: str) -> dict[str, str]:
    """The variables of an app that has the loader say who ran with them, in the app's own state folder."""
    return {"RECONCILE_START": "bin/app start", "LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": f"/var/lib/{app}/loader"} | more


def loaded_by(attacker: Attacker, app: str) -> set[str]:
    """Whose programs had the variables, by number."""
    return set(attacker.machine.run(f"find /var/lib/private/{app} -name 'loader.*' -printf '%U\\n'").stdout.split())


PASSWORDS = """\
umask 027 && cd /etc/traefik/dynamic && echo '# end' >hand.htpasswd && cp hand.htpasswd office.htpasswd
mkdir -p /var/lib/reconcile/office && cd /var/lib/reconcile/office
sha256sum /etc/traefik/dynamic/office.htpasswd >inventory
"""


def test_another_app_cannot_have_the_unit_of_traefik(key_holder: Attacker) -> None:
    """f: with it root would run a command beside the env of any app."""
    send(key_holder, APP)
    unit = (
        unit_text(dataclasses.replace(UNIT, app=TRAEFIK)).replace(TRAEFIK, APP).replace(f"/etc/{APP}", "/etc/traefik")
    )
    stdin = tar_of({"env": env_file(IDENTITY, told(APP), ()), "unit": unit})

    done = key_holder.change("start", APP, SLOT, RELEASE, "", "-", "none", stdin=stdin)

    assert (done.returncode, b"not of the form" in done.stderr) == (REFUSED, True), done
    assert not key_holder.machine.run(f"ls -d /var/lib/private/{APP} 2>/dev/null || :").stdout


def test_no_root_process_runs_with_the_env_of_traefik(key_holder: Attacker) -> None:
    """f, a: the app Traefik may be anything, with any env. What root does for it is done before it starts."""
    send(key_holder, TRAEFIK)
    key_holder.machine.run(PASSWORDS)
    settings = dataclasses.replace(UNIT, app=TRAEFIK)
    identity = Identity(RELEASE, "0" * 12, settings.digest)
    stdin = tar_of({"env": env_file(identity, told(TRAEFIK), ()), "unit": unit_text(settings)})

    done = key_holder.change("start", TRAEFIK, API, RELEASE, "", "-", "none", stdin=stdin, word=f"{TRAEFIK}:{API}")

    assert b"@@ result - 1\n0\n" in done.stdout, done
    answers = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'"
    wait_until(lambda: key_holder.machine.run(answers, check=False).returncode == 0, 10, "the app of that name runs")
    user, group = key_holder.machine.run(f"stat -c '%u %g' /var/lib/private/{TRAEFIK}").stdout.split()
    assert loaded_by(key_holder, TRAEFIK) == {user}  # the app's own has them
    assert key_holder.machine.run("stat -c '%g %a' /etc/traefik/dynamic/office.htpasswd").stdout == f"{group} 640\n"
    assert key_holder.machine.run("stat -c '%g %a' /etc/traefik/dynamic/hand.htpasswd").stdout == "0 640\n"
