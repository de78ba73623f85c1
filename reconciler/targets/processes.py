"""The processes of an app as apps of their own, so that each is started, proven, changed and removed like one. Pure.

Each has one slot and no port. What makes one version of them and the web process is decided in `decide/family.py`.
"""

from __future__ import annotations

from typing import Any

from reconciler.errors import UsageError
from reconciler.model.app import App
from reconciler.model.process import Process
from reconciler.model.process_name import family_of, is_process
from reconciler.tools.digests import digest

STARTS_WITHIN_SECONDS = 30


class ProcessApp(App):
    """A process of an app, under the name that it has on a host."""

    minimum_healthy_seconds: int
    kin: str  # digest of the whole family, see `kin_of`

    @property
    def proof_seconds(self) -> tuple[int, int]:
        """A process has no port to ask: it must run for so long."""
        return self.minimum_healthy_seconds, self.minimum_healthy_seconds + STARTS_WITHIN_SECONDS


def with_processes(app: App) -> tuple[App, ...]:
    """Return the app, then its processes as apps. Without a web process the first of them has the app's own name."""
    if not app.processes:
        return (app,)
    made = _with_processes(app)
    if app.overrides:
        of_variant = {id(each): {part.app: part for part in _with_processes(each)} for each in app.variants}
        for part in made:
            part.set_variants({host: of_variant[id(app.on(host))][part.app] for host in part.hosts})
    return made


def _with_processes(app: App) -> tuple[App, ...]:
    named = [(name, process) for key, process in app.processes.items() for name in process.names(app.app, key)]
    if app.has_first_process_only:
        (_, first), *named = named
        return _in_place_of(app, first), *(_process_app(app, *each) for each in named)
    return app, *(_process_app(app, *each) for each in named)


def refuse_process(name: str) -> None:
    """Raise UsageError if this is the name of a process: what was asked for is done to the whole app or not at all."""
    if is_process(name):
        app = family_of(name)
        raise UsageError(f"{name} is a process of {app}, and one version with it", f"name {app} instead")


def name_on_hosts(app: App, process: str) -> str:
    """The name that the first of this process has on hosts."""
    takes_its_place = app.has_first_process_only and process == next(iter(app.processes))
    return app.app if takes_its_place else app.processes[process].names(app.app, process)[0]


def kin_of(app: App) -> str:
    """The digest of what makes a version of a whole family succeed or fail; "" for an app without processes.

    If one of it has failed, all of it may be tried again once that differs.
    """
    if isinstance(app, ProcessApp):
        return app.kin
    return digest(app.model_dump(mode="json", include={"env", "start", "health", "processes"})) if app.processes else ""


def _process_app(app: App, name: str, process: Process) -> ProcessApp:
    same = ("version", "artifact", "after", "drift", "rollout", "keep_releases", "sandbox")
    values = {key: getattr(app, key) for key in same}
    hosts = tuple(host for host in app.hosts if host in (process.hosts or app.hosts))  # in the same order
    return _construct({**values, "app": name, "hosts": hosts}, app, process)


def _in_place_of(app: App, process: Process) -> ProcessApp:
    return _construct(dict(app), app, process)


def _construct(values: dict[str, Any], app: App, process: Process) -> ProcessApp:
    # Built without validation: the name is refused for apps that people write.
    return ProcessApp.model_construct(
        **values
        | {
            "start": process.start,
            "env": {**app.env, **process.env},
            "stop_seconds": process.stop_seconds or app.stop_seconds,
            "memory_max": process.memory_max or app.memory_limit,
            "cpu_max": process.cpu_max or app.cpu_max,
            "minimum_healthy_seconds": process.minimum_healthy_seconds,
            "kin": kin_of(app),
        }
    )
