"""Unit and env files as text, and reading `systemctl show`."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.identity import Identity
from reconciler.tools.systemd import UnitSettings, env_file, read_env_head, read_unit_head, unit_text

IDENTITY = Identity("0.2.0-0123456789ab", "env1", "unit1")
SANDBOX = {
    "write_execute_memory": False,
    "devices": False,
    "home": False,
    "namespaces": False,
    "extra_writable_paths": [],
    "shared_users": False,
    "capabilities": [],
}
LAYOUT = {"releases": "/srv", "env": "/etc/reconcile", "units": "/u", "state": "/var/lib/reconcile", "traefik": "/t"}
SETTINGS = UnitSettings("my-app", LAYOUT, SANDBOX, 30, "40%", "none", "", True)


def test_an_env_file_escapes_what_systemd_reads_and_nothing_else() -> None:
    text = env_file(IDENTITY, {"A": 'a"b\\c$d`e%f#g\nh'}, (("A", "d1"),))

    assert text == (
        "# reconcile 0.2.0-0123456789ab/env1/unit1\n"
        "# key A d1\n"
        'RECONCILE_INSTANCE="0.2.0-0123456789ab/env1/unit1"\n'
        'A="a\\"b\\\\c\\$d\\`e%f#g\nh"\n'
    )


def test_the_head_of_an_env_file_tells_identity_and_keys_without_values() -> None:
    head = [line for line in env_file(IDENTITY, {"A": "secret"}, (("A", "d1"),)).splitlines() if line.startswith("#")]

    assert read_env_head(head) == (IDENTITY, (("A", "d1"),))


def test_a_unit_carries_the_digest_of_its_settings() -> None:
    assert read_unit_head(unit_text(SETTINGS).splitlines()[0]) == SETTINGS.digest
    assert read_unit_head("# somebody else's unit") == ""


def test_a_sandbox_opt_out_changes_just_its_directive() -> None:
    jit = replace(SETTINGS, sandbox={**SANDBOX, "write_execute_memory": True})
    changed = set(unit_text(jit).splitlines()) ^ set(unit_text(SETTINGS).splitlines())

    assert {line for line in changed if not line.startswith("#")} == {
        "MemoryDenyWriteExecute=no",
        "MemoryDenyWriteExecute=yes",
    }


def test_an_app_sees_only_its_own_releases_and_its_write_paths() -> None:
    shared = replace(SETTINGS, sandbox={**SANDBOX, "extra_writable_paths": ["/srv/uploads", "/data"]})

    assert "TemporaryFileSystem=/srv:ro\nBindReadOnlyPaths=/srv/my-app\n" in unit_text(SETTINGS)
    assert "\nBindPaths=/srv/uploads\n" in unit_text(shared)
    assert "BindPaths=" not in unit_text(SETTINGS).replace("BindReadOnlyPaths=", "")


def test_a_node_name_has_no_dash_since_erlang_takes_none() -> None:
    assert "RELEASE_NODE=my_app_%i" in unit_text(SETTINGS)


def test_a_worker_gets_no_port() -> None:
    assert "PORT=" not in unit_text(replace(SETTINGS, has_port=False))


def test_a_unit_comes_after_units_of_the_system_without_starting_them() -> None:
    text = unit_text(replace(SETTINGS, after=("postgresql.service", "redis-server.service")))

    assert "\nAfter=postgresql.service redis-server.service\n" in text
    added = set(text.splitlines()) - set(unit_text(SETTINGS).splitlines())
    assert sorted(line.partition("=")[0] for line in added if not line.startswith("#")) == ["After"]


def test_an_instance_is_limited_in_memory_and_where_asked_for_in_cpu() -> None:
    text = unit_text(replace(SETTINGS, cpu_max="150%"))

    assert "\nMemoryMax=40%\n" in text
    assert "\nCPUQuota=150%\n" in text
    assert "CPUQuota" not in unit_text(SETTINGS)
