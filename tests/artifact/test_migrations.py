"""artifact/migrations.py: the migrations of a release, by the names of its files, compared with those of another."""

from __future__ import annotations

import pytest

from reconciler.artifact.migrations import compare_migrations, migrations_in, names_of


def found(*paths: str) -> list[tuple[str, str]]:
    return [(each.place, each.name) for each in sorted(migrations_in(paths))]


@pytest.mark.parametrize(
    ("path", "place", "name"),
    [
        ("lib/shop-0.2.0/priv/repo/migrations/20260101120000_add_price.exs", "shop/repo", "20260101120000_add_price"),
        ("lib/shop-0.2.0-rc.1/priv/log_repo/migrations/1_init.exs", "shop/log_repo", "1_init"),
        ("db/migrate/20260101120000_add_price.rb", "db/migrate", "20260101120000_add_price"),
        ("app/db/queue_migrate/20260101120000_jobs.rb", "app/db/queue_migrate", "20260101120000_jobs"),
        ("app/shop/migrations/0002_add_price.py", "app/shop/migrations", "0002_add_price"),
        ("migrations/0001_initial.py", "migrations", "0001_initial"),
        ("alembic/versions/1975ea83b712_add_price.py", "alembic/versions", "1975ea83b712_add_price"),
        ("app/migrations/versions/ae1027a6acf_.py", "app/migrations/versions", "ae1027a6acf_"),
    ],
)
def test_each_framework_has_its_place(path: str, place: str, name: str) -> None:
    assert found(path) == [(place, name)]


@pytest.mark.parametrize(
    "path",
    [
        "lib/shop-0.2.0/priv/repo/migrations/.formatter.exs",
        "lib/shop-0.2.0/priv/repo/migrations/20260101120000_a b.exs",
        "lib/shop-0.2.0/priv/repo/seeds.exs",
        "db/schema.rb",
        "db/migrate/notes.rb",
        "db/migrate/20260101120000_\x1b[2J.rb",
        "db/migrate/20260101120000_" + "x" * 101 + ".rb",
        "db/migrate/" + "1" * 21 + "_x.rb",
        "shop/migrations/__init__.py",
        "shop/migrations/0002_add_price.pyc",
        "shop/migrations/__pycache__/0002_add_price.py",
        "alembic/versions/__init__.py",
        "lib/python3.11/site-packages/django/contrib/auth/migrations/0001_initial.py",
        "vendor/bundle/ruby/3.3.0/gems/blazer-3.0.0/db/migrate/20260101120000_blazer.rb",
        "a/" * 9 + "migrations/0001_initial.py",
    ],
)
def test_what_is_no_migration_of_the_app_is_left_out(path: str) -> None:
    assert found(path) == []


def ecto(version: str, *numbers: int) -> list[str]:
    return [f"lib/shop-{version}/priv/repo/migrations/{number}_m{number}.exs" for number in numbers]


def change(served: list[str], wanted: list[str]) -> tuple[str, str]:
    compared = compare_migrations(migrations_in(served), migrations_in(wanted))
    return names_of(compared.new), names_of(compared.unknown)


def test_a_newer_release_brings_migrations_whatever_its_version_is() -> None:
    assert change(ecto("0.1.0", 1, 2), ecto("0.2.0", 1, 2, 10, 3)) == ("3_m3, 10_m10", "")
    assert change(ecto("0.1.0", 1, 2), ecto("0.2.0", 1, 2)) == ("", "")


def test_an_older_release_does_not_know_the_later_migrations() -> None:
    assert change(ecto("0.2.0", 1, 2, 3), ecto("0.1.0", 1)) == ("", "2_m2, 3_m3")


def test_migrations_that_were_deleted_or_joined_are_not_missed() -> None:
    assert change(ecto("0.2.0", 1, 2, 3), ecto("0.3.0", 3, 4)) == ("4_m4", "")
    assert change(ecto("0.2.0", 1, 2, 3), ecto("0.3.0", 4)) == ("4_m4", "")


def test_each_folder_has_an_order_of_its_own() -> None:
    served = ["shop/migrations/0001_a.py", "shop/migrations/0002_b.py", "blog/migrations/0009_c.py"]

    assert change(served, [served[0], served[2]]) == ("", "0002_b")


def test_the_revisions_of_alembic_have_no_order() -> None:
    first, second, other = (f"alembic/versions/{name}.py" for name in ("f1_a", "a2_b", "b3_c"))

    assert change([first], [first, second]) == ("a2_b", "")
    assert change([first, second], [first]) == ("", "a2_b")
    assert change([first, second], [other]) == ("b3_c", "")  # joined into one


def test_of_many_names_the_first_are_shown() -> None:
    assert change([], ecto("1", *range(1, 8))) == ("1_m1, 2_m2, 3_m3, 4_m4, 5_m5 and 2 more", "")
