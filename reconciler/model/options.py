"""The command line as typed: every option and argument, with a type and a default. Frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from reconciler.model.shard import Shard


@dataclass(frozen=True)
class Options:
    """One call of `reconcile`. A field that the command does not take keeps its default."""

    command: str | None = None
    once: bool = False
    show_version: bool = False
    verbose: bool = False
    json: bool = False
    color: Literal["auto", "always", "never"] = "auto"

    # The desired state, and the part of it to work on.
    desired_state: Path = Path("desired-state")
    ref: str | None = None
    working_tree: bool = False
    repo: str | None = None
    branch: str | None = None
    environment: str = ""
    allowed_signers: Path | None = None
    app: tuple[str, ...] | None = None
    host: tuple[str, ...] | None = None
    shard: Shard | None = None

    # Settings of a pass and of a watch.
    wait_lock: int = 45
    allow_prune: bool = False
    allow_step_back: bool = False
    interval: int = 60
    metrics_file: Path | None = None
    listen: str | None = None
    webhook_secret_file: Path | None = None
    listen_token_file: Path | None = None
    listen_name: tuple[str, ...] | None = None

    # Arguments of single commands.
    app_name: str = ""
    job: str = ""
    host_name: str = ""
    secret_name: str = ""
    target: str = ""
    verb: str = ""
    version: str = ""
    sha256: str | None = None
    follow: bool = False
    process: str = ""  # name of a process of the app
    lines: int = 100
    now: bool = False
    watch: bool = False
    html: Path | None = None
    expression: str = ""
    words: tuple[str, ...] = ()
    candidate: bool = False
    reason: str = ""
    duration: str | None = None
    port: int = 0
    yes: bool = False
    dry_run: bool = False
    name: str | None = None
    host_key: str | None = None
    key: tuple[Path, ...] | None = None
    swap: str | None = None
    write: Path | None = None
    shell: str = ""
    from_environment: str = ""
    from_ref: str | None = None
    to_ref: str | None = None
    diff: bool = False
    markdown: bool = False
    longest: int = 65_000  # bytes of Markdown

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Options:
        """Build the options from argparse's names and values; lists become tuples. Raises TypeError for other names."""
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()
        }
        return cls(**given)

    def for_app(self) -> Options:
        """The same options, restricted to the app that is the command's argument."""
        return replace(self, app=(self.app_name,))

    def for_host(self) -> Options:
        """The same options, restricted to the host that is the command's argument."""
        return replace(self, host=(self.host_name,))
