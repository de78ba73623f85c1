"""The hooks of an app: a backup before the migration, a command after the rollout, and one after a failed rollout."""

from __future__ import annotations

import pytest

from tests.hosts.stories.project import Project
from tests.hosts.stories.small_release import small_release

pytestmark = pytest.mark.hosts

NOTE = "sh -c 'echo {} $(cat VERSION) $GREETING $RECONCILE_REASON >>$STATE_DIRECTORY/hooks'"


def noted(project: Project) -> list[str]:
    """What the hooks and the migration wrote down, in order, since this was asked last."""
    path = f"/var/lib/private/{project.app}/hooks"
    lines = project.machine.run(f"cat {path} 2>/dev/null; rm -f {path}").stdout.splitlines()
    return [" ".join(line.split()) for line in lines]


def test_hooks_run_once_per_rollout_with_the_release_that_they_are_about(project: Project) -> None:
    """Not when they are added, nor after a repair. One that fails after a rollout is told once, and undoes nothing."""
    project.converge()
    project.keys |= {"after_rollout": NOTE.format("after"), "on_failure": NOTE.format("failed")}
    assert (project.converge().verbs, noted(project)) == ([], [])

    project.keys["before_migrate"] = NOTE.format("before")
    upgrade = project.converge(version="0.2.0", migrate=NOTE.format("migrates"))
    assert upgrade.verbs[1:3] + upgrade.verbs[-1:] == ["migrate", "start", "hook"]
    assert noted(project) == ["before 0.2.0 Hello", "migrates 0.2.0 Hello", "after 0.2.0 Hello"]

    project.machine.run(f"systemctl stop '{project.app}@*'")
    assert "hook" not in project.converge().verbs
    assert noted(project) == []

    project.add_artifact(small_release("0.3.0"), "0.3.0")
    project.commit(version="0.3.0", before_migrate="sleep 30", hook_within_seconds=1)
    failed, again = project.once(), project.once()
    why = "its before_migrate took longer than 1 s; nothing was migrated"
    assert (failed.code, failed.verbs, again.verbs) == (1, ["install", "migrate", "hook"], []), str(failed)
    assert f"version 0.3.0 failed here: {why}" in failed.told
    assert noted(project) == [f"failed 0.3.0 Hello {why}"]

    project.keys |= {"before_migrate": "true", "after_rollout": 'sh -c "echo the cache is away; exit 3"'}
    project.commit(hook_within_seconds=60)
    told, again, status = project.once(), project.once(), project.status()
    assert (told.code, told.verbs[-1], again.code, again.verbs) == (1, "hook", 0, []), str(told)
    assert "version 0.3.0 runs, but after_rollout failed: it failed" in told.told
    assert "| the cache is away" in told.told
    assert "after_rollout failed: it failed" in str(status)
    assert noted(project) == ["migrates 0.3.0 Hello"]
