"""`dataclass` of the standard library, but the methods of a class are made when they are first used.

A pass that finds nothing to do imports two hundred dataclasses, makes instances of a third of them and compares few. To
make the methods of all took a quarter of its CPU: the standard library writes and compiles source text for each one.
"""

from __future__ import annotations

import dataclasses
from threading import RLock
from typing import TYPE_CHECKING, Any

# What others may ask of a class before it has an instance.
_ASKED = ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
_LATER = ("__eq__", "__hash__", "__repr__")  # instances often end without them
# What belongs to one class alone, and cannot come from its twin, or comes last.
_OWN = {"__dict__", "__weakref__", "__doc__", "__init__", "__setattr__", "__delattr__"}
# Reentrant, since to make a class makes those that it inherits from. One for all: two threads may need each other's.
_MAKING = RLock()

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: Any = None, /, **options: bool) -> Any:  # noqa: ANN401 - as the standard library has it
        """Decorate a class as `dataclasses.dataclass` does."""
        if cls is None:
            return lambda each: dataclass(each, **options)
        if "__init__" in vars(cls) or type(cls) is not type or not {*options} <= {"frozen", "eq"}:
            return dataclasses.dataclass(**options)(cls)
        _Unmade(cls, options).stand_in()
        return cls


class _Unmade:
    """A class whose methods are still to be made. They are made on a twin of the class, and moved."""

    def __init__(self, cls: Any, options: dict[str, bool]) -> None:  # noqa: ANN401 - any class
        self.cls, self.options, self.before = cls, options, dict(vars(cls))
        self.first: dict[str, Any] = {"__init__": self._first("__init__", self._make)}
        if options.get("eq", True):
            self.first |= {name: self._first(name, self._make_rest) for name in _LATER if name not in self.before}
            if "__hash__" in self.first and not options.get("frozen"):
                self.first["__hash__"] = None  # what can change and is compared by value has none

    def stand_in(self) -> None:
        """Give the class methods that make the real ones."""
        for name, method in self.first.items():
            setattr(self.cls, name, method)
        for name in _ASKED:
            setattr(self.cls, name, _Asked(self, name))

    def ask(self, name: str) -> Any:  # noqa: ANN401 - as the class has it
        self._make()
        return vars(self.cls)[name]

    def _first(self, name: str, make: Any) -> Any:  # noqa: ANN401 - a method of any signature
        cls = self.cls

        def first(this: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            make()
            return getattr(cls, name)(this, *args, **kwargs)

        return first

    def _make(self) -> None:
        """Make what an instance begins with; `__init__` moves last: until then, other threads wait for the lock."""
        cls = self.cls
        with _MAKING:
            if vars(cls)["__init__"] is not self.first["__init__"]:
                return  # another thread was faster
            twin = self._twin(self.options | {"repr": False, "eq": False})
            for name, value in self.before.items():
                if isinstance(value, dataclasses.Field) and name not in vars(twin):
                    delattr(cls, name)
            for name, value in vars(twin).items():
                if name not in _OWN and self.before.get(name, self) is not value:
                    setattr(cls, name, value)
            if self.options.get("frozen"):
                _freeze(cls)
            cls.__init__ = twin.__init__

    def _make_rest(self) -> None:
        with _MAKING:
            twin = vars(self._twin(self.options))
            for name in _LATER:
                if vars(self.cls).get(name) is self.first.get(name):
                    setattr(self.cls, name, twin[name])

    def _twin(self, options: dict[str, bool]) -> Any:  # noqa: ANN401
        body = {name: value for name, value in self.before.items() if name not in ("__dict__", "__weakref__")}
        body["__doc__"] = self.cls.__name__  # without one, the standard library would work out a signature
        return dataclasses.dataclass(**options)(type(self.cls.__name__, self.cls.__bases__, body))


class _Asked:
    """Stands for an attribute of a class that is not made yet: makes the class, and answers with the real one."""

    def __init__(self, unmade: _Unmade, name: str) -> None:
        self.unmade, self.name = unmade, name

    def __get__(self, instance: object, owner: type) -> Any:  # noqa: ANN401
        return self.unmade.ask(self.name)


def _freeze(cls: Any) -> None:  # noqa: ANN401
    """Let no attribute be set or deleted, as in a frozen dataclass. The methods of its twin would ask for the twin."""
    fields = frozenset(cls.__dataclass_fields__)

    def set_attribute(self: object, name: str, value: object) -> None:
        if type(self) is cls or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def delete_attribute(self: object, name: str) -> None:
        if type(self) is cls or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    cls.__setattr__, cls.__delattr__ = set_attribute, delete_attribute
