"""The database migrations that a release brings, found by the names of its files. Pure.

    lib/shop-0.2.0/priv/repo/migrations/20260101120000_add_price.exs    Ecto
    db/migrate/20260101120000_add_price.rb                              Rails, also db/queue_migrate
    shop/migrations/0002_add_price.py                                   Django
    alembic/versions/1975ea83b712_add_price.py                          Alembic, also migrations/versions

Those of a library in site-packages or vendor are left out: it is not known whether the app uses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9_]{1,100}"
_FOLDERS = r"(?:[A-Za-z0-9_.@+~-]{1,100}/){0,8}"
_FORMS = tuple(
    map(
        re.compile,
        (
            rf"lib/(?P<place>[a-z][a-z0-9_]{{0,63}})-[A-Za-z0-9.+~-]{{1,64}}/priv/(?P<repo>{_WORD})/migrations/"
            rf"(?P<name>(?P<number>[0-9]{{1,20}})_{_WORD})\.exs",
            rf"(?P<place>{_FOLDERS}db/(?:[a-z0-9_]{{1,60}}_)?migrate)/(?P<name>(?P<number>[0-9]{{1,20}})_{_WORD})\.rb",
            rf"(?P<place>{_FOLDERS}(?:alembic|migrations)/versions)/(?P<name>(?!__){_WORD})\.py",
            rf"(?P<place>{_FOLDERS}migrations)/(?P<name>(?P<number>[0-9]{{4}})_{_WORD})\.py",
        ),
    )
)
_LIBRARIES = re.compile(r"(^|/)(site-packages|dist-packages|vendor|gems|node_modules|deps)/")
_MOST_SHOWN = 5


@dataclass(frozen=True, order=True)
class Migration:
    """One migration; `number` is its place in the order of its folder, or -1 if its name has none."""

    place: str  # the folder, without the version of a library
    number: int
    name: str


@dataclass(frozen=True)
class MigrationChange:
    """From one release to another: the migrations that are new, and those that the other release does not know."""

    new: tuple[Migration, ...]
    unknown: tuple[Migration, ...]


def migrations_in(paths: Iterable[str]) -> frozenset[Migration]:
    """The migrations among the paths of a release."""
    found = (
        (path, form.fullmatch(path)) for path in paths if "migrat" in path or "/versions/" in path for form in _FORMS
    )
    return frozenset(_read(match) for path, match in found if match and not _LIBRARIES.search(path))


def compare_migrations(served: frozenset[Migration], wanted: frozenset[Migration]) -> MigrationChange:
    """Compare the release that serves with the one that is wanted.

    A migration that only the served release has is unknown to the other if it is later than all that this one has.
    Earlier ones were deleted or joined into one, as people do after a while.
    """
    return MigrationChange(tuple(sorted(wanted - served)), tuple(sorted(_unknown(served, wanted))))


def names_of(migrations: Iterable[Migration]) -> str:
    """The names as a sentence shows them: the first few, and how many more there are."""
    names = [each.name for each in migrations]
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _read(match: re.Match[str]) -> Migration:
    parts = match.groupdict()
    place = f"{parts['place']}/{parts['repo']}" if parts.get("repo") else parts["place"]
    return Migration(place, int(parts.get("number") or -1), parts["name"])


def _unknown(served: frozenset[Migration], wanted: frozenset[Migration]) -> Iterable[Migration]:
    last: dict[str, int] = {}
    for each in wanted:
        last[each.place] = max(last.get(each.place, -1), each.number)
    brings = {each.place for each in wanted - served}
    for each in served - wanted:
        later = each.number > last.get(each.place, -1) if each.number >= 0 else each.place not in brings
        if later:
            yield each
