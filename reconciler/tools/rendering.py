"""Package texts and templates. jinja2 is imported only when something must be written. Pure."""

from __future__ import annotations

import json
from pathlib import Path


def package_text(name: str) -> str:
    """A text that ships with the package, such as `templates/route.yml.j2`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def render(template: str, **values: object) -> str:
    """The filled template; a name it does not know fails the render, not the unit."""
    from jinja2 import Environment, StrictUndefined

    # Unit files and YAML are no HTML: autoescape would spoil them. The route is re-parsed and compared by its caller.
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    environment.filters["tojson"] = _plain_json  # its own escapes what means something in HTML
    return environment.from_string(package_text(template)).render(**values)


def _plain_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
