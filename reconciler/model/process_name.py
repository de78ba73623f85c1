"""The names of processes on a host: `<app>--<process>`. No app that people write has such a name."""

from __future__ import annotations

SEPARATOR = "--"
LONGEST_NAME = 31  # of a user, and so of an app


def family_of(app: str) -> str:
    """The app that this app is, or that it is a process of. Whatever is of one family is one version on a host."""
    return app.partition(SEPARATOR)[0]


def is_process(app: str) -> bool:
    """True if this is the name of a process of an app."""
    return SEPARATOR in app
