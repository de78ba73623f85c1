"""A git repository with a desired state, for tests that compare commits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Words = dict[str, Any]

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{
        f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in (("NAME", "a"), ("EMAIL", "a@b"))
    },
}


def app(name: str, version: str = "1.0", **keys: Any) -> Words:
    """An app file on the hosts web1 and web2."""
    source = {"source": f"../build/{name}-{{version}}.tar.gz"}
    return {
        "app": name,
        "version": version,
        "artifact": source,
        "hosts": ["web1", "web2"],
        "ports": ["4000", "4001"],
    } | {**keys}


FLEET: Words = {
    "hosts": {
        "web1": {"address": "203.0.113.7", "user": "root"},
        "web2": {"address": "203.0.113.8", "user": "root"},
    }
}


@dataclass(frozen=True)
class Repository:
    """A repository whose `desired-state/` is written anew for each commit."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Repository:
        root.mkdir(parents=True)
        repository = cls(root)
        repository.git("init", "-q", "-b", "main")
        return repository

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env={**os.environ, **_ENVIRONMENT},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def write(self, *apps: Words, fleet: Words | None = None, files: dict[str, str] | None = None) -> None:
        folder = self.root / "desired-state"
        shutil.rmtree(folder, ignore_errors=True)
        texts = {f"apps/{each['app']}.yaml": json.dumps(each) for each in apps}
        texts |= {"fleet.yaml": json.dumps(FLEET if fleet is None else fleet)} | (files or {})
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def commit(
        self, *apps: Words, message: str = "Change", fleet: Words | None = None, files: dict[str, str] | None = None
    ) -> str:
        """Commit these apps as the whole desired state. Return the commit's id."""
        self.write(*apps, fleet=fleet, files=files)
        return self.commit_all(message)

    def commit_all(self, message: str = "Change") -> str:
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")
