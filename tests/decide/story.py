"""A story of the pure core as data: `desired.yaml` and `observed.yaml` become the values that `plan` takes.

`desired.yaml` is an app file as people write it; an empty one means that the desired state no longer names `hello`.
`observed.yaml` says what a look at the host showed. It names versions in place of digests:

    serves: {slot: "4000", version: "1.0"}     # accepted, running, healthy, routed, and Traefik has applied the route
    slots:                                     # other slots, or more about that one: fields of `Slot`, and
      "4001": {version: "1.1", on_trial: true} #   `version`: what it runs; any key of the app file it was started with
    app: {releases: ["0.9"], migrated: ["1.0"]}   # fields of `ObservedApp`; releases by version
    app: {migrated: [{env: {URL: "a"}}]}          # or by what differed from the desired app when it migrated
    app: {hook: {hook: on_failure, state: due, version: "1.1"}}   # and perhaps a `reason`
    host: {traefik: "does not answer"}            # fields of `ObservedHost`
    facts: {memory_available_kib: 1000}           # fields of `HostFacts`
    unreachable: no answer in time                # in place of all that
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reconciler.desired_state.load import load
from reconciler.model.desired import App
from reconciler.model.identity import Identity
from reconciler.model.observed import (
    AppliedRoute,
    HookMark,
    HostFacts,
    ObservedApp,
    ObservedHost,
    Quarantine,
    RouteFile,
    Slot,
    Unreachable,
)
from reconciler.model.target import Target
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles

HOST = "web1"
PLENTY_KIB = 4_000_000
Words = dict[str, Any]


def digest_of(version: str) -> str:
    """The sha256 that stands for the artifact of a version."""
    return hashlib.sha256(version.encode()).hexdigest()


@cache
def _read_yaml(path: Path) -> Words:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@cache
def _resolve_app_file(text: str) -> TargetFiles:
    """Work out an app file. Cached: it is the slow part of a story, and most stories begin with the same app."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "apps").mkdir()
        (folder / "apps" / f"{json.loads(text)['app']}.yaml").write_text(text, encoding="utf-8")
        desired = load(folder)
    app: App = desired.apps[0]
    site = HostSite(HOST, desired.host(HOST), (8080,))
    return resolve(app, site, Traefik(), folder, digest_of(app.version), lambda secret: f"value of {secret}")


@dataclass(frozen=True)
class Story:
    """One folder below `cases/`."""

    folder: Path

    @property
    def wanted(self) -> Target:
        written = self._read("desired.yaml")
        return self._target(written).target if written else Target.removal(HOST, "hello")

    @property
    def seen(self) -> ObservedHost | Unreachable:
        shown = self._read("observed.yaml")
        if "unreachable" in shown:
            return Unreachable(HOST, shown["unreachable"])
        facts = HostFacts(**{"memory_available_kib": PLENTY_KIB, **shown.get("facts", {})})
        seen = ObservedHost(HOST, facts, entry_points=("web", "websecure"), **shown.get("host", {}))
        return seen.with_app(self._name, self._app(shown))

    @property
    def plan_path(self) -> Path:
        return self.folder / "plan.txt"

    @property
    def _name(self) -> str:
        return str(self._read("desired.yaml").get("app", "hello"))

    def _read(self, name: str) -> Words:
        return _read_yaml(self.folder / name)

    def _target(self, written: Words, **started_with: Any) -> TargetFiles:
        """The app file worked out, with the keys that an instance was started with in place of the desired ones."""
        return _resolve_app_file(json.dumps({**written, **started_with}))

    def _was(self, started_with: Words) -> TargetFiles:
        written = self._read("desired.yaml") or {"app": "hello", "version": "0", **_ANY}
        return self._target(written, **started_with)

    def _app(self, shown: Words) -> ObservedApp:
        app = ObservedApp(unit=self.wanted.unit)
        slots = {slot: dict(words) for slot, words in shown.get("slots", {}).items()}
        if "serves" in shown:
            words = dict(shown["serves"])
            slot = words.pop("slot")
            slots[slot] = {**words, **_READY, **slots.get(slot, {})}
            app = self._routed(app, slot, words)
        for slot, words in slots.items():
            app = app.with_slot(self._slot(slot, words))
        fields = dict(shown.get("app", {}))
        older = [self._release(version) for version in fields.pop("releases", [])]
        held = [each.release for slot in app.slots for each in (slot.running, slot.previous, slot.prepared) if each]
        releases = dict.fromkeys([*older, *held])
        migrated = tuple(map(self._migration, fields.pop("migrated", [])))
        failed = tuple(self._quarantine(dict(words)) for words in fields.pop("quarantined", []))
        if hook := fields.pop("hook", None):
            fields["hook"] = self._hook(dict(hook))
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        return replace(app, releases=tuple(releases), migrated=migrated, quarantined=failed, **fields)

    def _migration(self, written: str | Words) -> str:
        """A version that migrated, or what it migrated with where `migrate_when` asks."""
        if isinstance(written, str):
            return self._release(written)
        target = self._was(written).target
        return target.migration(target.release or "")

    def _hook(self, words: Words) -> HookMark:
        hook, state, reason = words.pop("hook"), words.pop("state"), words.pop("reason", None)
        return HookMark(hook, self._identity(words), state, reason)

    def _release(self, version: str) -> str:
        return f"{version}-{digest_of(version)[:12]}"

    def _identity(self, started_with: Words) -> Identity:
        target = self._was(started_with).target
        assert target.release
        return target.identity(target.release)

    def _slot(self, name: str, words: Words) -> Slot:
        fields = {key: words.pop(key) for key in list(words) if key in Slot.__dataclass_fields__}
        if "previous" in fields:
            fields["previous"] = self._identity(fields["previous"])
        if not words:
            return Slot(name, **fields)
        files = self._was(words)
        ran = self._identity(words)
        base = Slot(
            name, prepared=ran, env_keys=files.target.env_keys, state="active", running=ran, invocation=f"{name}-1"
        )
        if fields.get("state") in ("inactive", "failed"):
            base = replace(base, running=None)
        return replace(base, **fields)

    def _routed(self, app: ObservedApp, slot: str, started_with: Words) -> ObservedApp:
        target = self._was(started_with).target
        app = replace(app, unit=target.unit)
        if target.route is None:
            return app
        digest = target.route.digests[slot]
        route = RouteFile(slot, digest, intact=True, age_seconds=3600, parts=target.route.parts)
        return replace(app, route=route, applied=AppliedRoute(slot, digest))

    def _quarantine(self, words: Words) -> Quarantine:
        reason = words.pop("reason")
        return Quarantine(self._identity(words), reason, 1_790_000_000, self._was(words).target.attempt)


_READY: Words = {"enabled": True, "listening": True, "health": "200", "healthy": True}
_ANY = {
    "artifact": {"source": "../build/hello-{version}.tar.gz"},
    "hosts": [HOST],
    "ports": [4000, 4001],
    "health": {"path": "/ping"},
    "route": {"domains": ["example.com"]},
}
