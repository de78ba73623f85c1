"""What a viewer asks for: a path and a query string, read strictly. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from reconciler.page.states import WORDS

LONGEST: Final = 200
VIEWS: Final = ("fleet", "hosts", "history", "drift", "plan")
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@:\[\]-]{0,199}"
_ONE: Final = re.compile(rf"/(app|host)/({_NAME})")
_MOST_PAGES: Final = 100_000


@dataclass(frozen=True)
class Query:
    """A view, and the part of it to show."""

    view: str = "fleet"
    name: str = ""  # of the app or host
    search: str = ""
    state: str = ""
    app: str = ""
    host: str = ""
    group: str = "host"
    page: int = 1

    @property
    def path(self) -> str:
        """The path without the query string."""
        if self.view in ("app", "host"):
            return f"/{self.view}/{quote(self.name, safe='@:')}"
        return "/" if self.view == "fleet" else f"/{self.view}"

    def url(self, **changes: str | int) -> str:
        """The address of the same view with these changes. A change of a filter leads to the first page."""
        asked = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        default = Query()
        pairs = {
            "q": asked.search,
            "state": asked.state,
            "app": asked.app,
            "host": asked.host,
            "group": "" if asked.group == default.group else asked.group,
            "page": "" if asked.page == 1 else str(asked.page),
        }
        told = urlencode({key: value for key, value in pairs.items() if value})
        return asked.path + (f"?{told}" if told else "")


def read_query(path: str, query_string: str) -> Query | None:
    """Read what is asked for; None for a path that does not exist. What does not fit in the query string is ignored."""
    found = _ONE.fullmatch(path)
    view = found[1] if found else {"/": "fleet"}.get(path, path.removeprefix("/"))
    if not found and (view not in VIEWS or path not in ("/", f"/{view}")):
        return None
    try:
        pairs = dict(parse_qsl(query_string[:2000], max_num_fields=20))
    except ValueError:
        pairs = {}
    page = pairs.get("page", "")
    return Query(
        view,
        found[2] if found else "",
        " ".join(pairs.get("q", "")[:LONGEST].split()),
        pairs["state"] if pairs.get("state") in WORDS else "",
        _name(pairs.get("app", "")),
        _name(pairs.get("host", "")),
        "app" if pairs.get("group") == "app" else "host",
        min(int(page), _MOST_PAGES) if re.fullmatch("[1-9][0-9]{0,5}", page) else 1,
    )


def _name(text: str) -> str:
    return text if re.fullmatch(_NAME, text) else ""
