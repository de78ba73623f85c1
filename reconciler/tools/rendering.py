"""Package texts and templates. jinja2 is imported only when a template is rendered. Pure."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path


@cache
def package_text(name: str) -> str:
    """Return a text that ships with the package, such as `templates/route.yml.j2`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def render(template: str, **values: object) -> str:
    """Return the rendered template, by its name in the package."""
    return render_text(package_text(template), **values)


def render_text(text: str, **values: object) -> str:
    """Return the rendered template. An unknown name raises here, so that it cannot break a unit on a host."""
    from jinja2 import Environment, StrictUndefined

    # Autoescape is for HTML and would spoil unit files and YAML. The caller parses a route again and compares it.
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    environment.filters["tojson"] = _plain_json  # jinja2's own filter escapes for HTML
    return environment.from_string(text).render(**values)


def _plain_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
