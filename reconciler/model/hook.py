"""Hooks: commands of an app that run once at a point of its rollout."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from reconciler.model import values
from reconciler.model.machine import Strict


class Hook(Strict):
    """A hook with its settings. A command alone means the same as `run`."""

    run: values.Command = Field(
        description="Command, run in the release folder as the app's user, with the env and the sandbox of the app."
    )
    each_host: values.Flag = Field(
        default=False, description="Run it on every host of the rollout. Default: on one host only."
    )


def _kind_of_hook(value: object) -> str:
    return "Hook" if isinstance(value, (dict, Hook)) else "text"


HookValue = Annotated[
    Annotated[values.Command, Tag("text")] | Annotated[Hook, Tag("Hook")],
    Discriminator(_kind_of_hook),
]


def read_hook(value: str | Hook | None) -> Hook | None:
    """The hook that was written in either form."""
    return Hook(run=value) if isinstance(value, str) else value
