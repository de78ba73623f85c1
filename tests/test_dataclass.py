"""Dataclasses whose methods are made at first use are otherwise those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
import pkgutil
import threading
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace

import pytest

import reconciler
from reconciler.dataclass import dataclass


@dataclass(frozen=True)
class Release:
    """Ours."""

    app: str
    version: str = "1"
    names: list[str] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Signed(Release):
    signer: str = "-"


@dataclasses.dataclass(frozen=True)
class Usual:
    """As the standard library makes it."""

    app: str
    version: str = "1"
    names: list[str] = field(default_factory=list, compare=False)


@dataclass
class Counter:
    count: int = 0


def make_release() -> type[Release]:
    """A class that nothing has used."""

    @dataclass(frozen=True)
    class Fresh(Release):
        more: int = 0

    return Fresh


def test_instances_are_compared_hashed_and_shown_by_value() -> None:
    """Every answer is that of the standard library, but for the name of the class."""
    one, same, other = Release("a", names=["x"]), Release("a"), Release("b")

    assert (one == same, one == other, hash(one) == hash(same)) == (True, False, True)
    assert repr(one) == repr(Usual("a", names=["x"])).replace("Usual", "Release")
    assert one != object() and {one, same, other} == {one, other}
    assert copy.copy(one) == one == pickle.loads(pickle.dumps(one)) == replace(one, names=[])
    with pytest.raises(TypeError, match="unexpected keyword argument 'verison'"):
        Release("a", verison="2")  # type: ignore[call-arg]


def test_default_values_are_made_for_each_instance() -> None:
    """A factory's value is not shared, and the class does not show the field."""
    Release("a").names.append("x")

    assert Release("a").names == [] and not hasattr(Release, "names") and Release.version == "1"


def test_a_frozen_instance_refuses_to_be_changed() -> None:
    """With the same error, for a class and for one that inherits from it."""
    for one in (Release("a"), Signed("a")):
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'app'"):
            one.app = "b"  # type: ignore[misc]
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'new'"):
            one.new = "b"  # type: ignore[attr-defined]
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'app'"):
            del one.app
        assert one.app == "a"


def test_one_that_can_change_is_compared_and_has_no_hash() -> None:
    """As every dataclass that is not frozen."""
    counter = Counter()
    counter.count += 1

    assert counter == Counter(1)
    with pytest.raises(TypeError, match="unhashable type"):
        hash(counter)


def test_a_class_that_inherits_has_all_fields() -> None:
    """Whichever of both is used first."""
    fresh = make_release()

    assert [each.name for each in fields(fresh)] == ["app", "version", "names", "more"]
    assert (is_dataclass(make_release()), fresh("a", "2", [], 3).version) == (True, "2")  # type: ignore[call-arg]
    match fresh("a", "2"):
        case Release(app, version):
            assert (app, version) == ("a", "2")


def test_nothing_is_made_before_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `reconcile --once` saves at its start. Comparing comes later again."""
    assert Release("a") == Release("a")
    made = list[bool]()
    usual = dataclasses.dataclass

    def note(cls: type | None = None, /, **options: bool) -> object:
        made.append(options.get("eq", True))
        return usual(cls, **options)

    monkeypatch.setattr(dataclasses, "dataclass", note)
    fresh = make_release()
    steps = [[*made]]
    one = fresh("a")
    steps.append([*made])
    assert one == fresh("a")
    steps.append([*made])

    assert steps == [[], [False], [False, True]]


def use_at_once(fresh: type[Release], barrier: threading.Barrier, problems: list[Exception]) -> None:
    barrier.wait()
    try:
        assert {fresh("a"), fresh("a")} == {fresh("a")}
    except Exception as error:
        problems.append(error)


def test_threads_that_use_a_class_at_once_get_the_same_one() -> None:
    """No thread sees a class that is half made."""
    for _ in range(50):
        fresh, problems = make_release(), list[Exception]()
        barrier = threading.Barrier(4)

        threads = [threading.Thread(target=use_at_once, args=(fresh, barrier, problems)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []


def test_every_dataclass_of_the_package_can_be_made() -> None:
    """A field without a default behind one that has it would otherwise be found when the class is first used."""
    found = set[type]()
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.endswith("__main__"):
            found |= {each for each in vars(importlib.import_module(module.name)).values() if isinstance(each, type)}

    assert len([each for each in found if is_dataclass(each) and fields(each) is not None]) > 200
