"""The kinds of values. Each reads YAML source text (or a Python value) and refuses the rest, with a next step.

YAML never decides a type here: the loader hands over source text, so `1.10` stays "1.10" and only a true-or-false
field reads `true`. Every kind also describes itself to the JSON Schema, which must accept everything that the loader
accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# Samples of text that an editor, following YAML 1.2, takes for a number or a boolean.
_NUMBERS = ("1", "1.5", "-1", "1e3", "1" * 64)
_TRUTHS = ("true", "false")


def refuse(message: str, next_step: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """Build the error for a refused value. `at` is the path to a key below the value being validated."""
    return PydanticCustomError("refused", "{message}", {"message": message, "next_step": next_step, "at": at})


def quoted_excerpt(value: str) -> str:
    """The text as a quoted literal that an error may show: one line, at most 60 characters, nothing unprintable."""
    return repr(value if len(value) <= 60 else value[:57] + "...")


@dataclass(frozen=True)
class Text:
    """Text that matches a pattern. `says` completes the message "VALUE ..."; a `secret` value is never repeated."""

    pattern: str
    says: str
    next_step: str = ""
    longest: int = 255
    secret: bool = False

    def read(self, value: object) -> str:
        if value is None:
            raise refuse(
                "has no value", 'write one, or "" if you mean empty text' if self._matches("") else "write one"
            )
        if isinstance(value, (dict, list, tuple)) or not isinstance(value, str):
            raise refuse("must be text", self.next_step)
        if len(value) > self.longest:
            raise refuse(f"is {len(value)} characters long (at most {self.longest})", "shorten it")
        if not self._matches(value):
            raise refuse(self.says if self.secret else f"{quoted_excerpt(value)} {self.says}", self.next_step)
        return value

    def _matches(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        types = ["string"]
        types += ["number"] * any(map(self._matches, _NUMBERS)) + ["boolean"] * any(map(self._matches, _TRUTHS))
        return {"type": types if len(types) > 1 else "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True)
class Whole:
    """A whole number in plain decimal digits, between two bounds. 0x10, 0o7, 1_000 and 22:22 are refused."""

    least: int
    most: int
    why: str = ""

    def read(self, value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value):
            value = int(value)
        if isinstance(value, str) and value.isdecimal() and not value.startswith("0"):
            raise refuse("is too large", self._range)
        if not isinstance(value, int) or isinstance(value, bool):
            what = (
                f"{quoted_excerpt(value)} is not a whole number" if isinstance(value, str) else "must be a whole number"
            )
            raise refuse(what, f"write plain decimal digits, {self.least} to {self.most}")
        if not self.least <= value <= self.most:
            raise refuse(f"{value} is outside {self.least} to {self.most}", self.why or self._range)
        return value

    @property
    def _range(self) -> str:
        return f"use one from {self.least} to {self.most}"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, core_schema.int_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        digits = "^-?(0|[1-9][0-9]*)$"
        return {"type": ["integer", "string"], "minimum": self.least, "maximum": self.most, "pattern": digits}


class Truth:
    """`true` or `false` and nothing else: YAML parsers disagree about `yes`, `on` and `True`."""

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        what = (
            f"{quoted_excerpt(value)} is neither true nor false" if isinstance(value, str) else "must be true or false"
        )
        word = str(value).lower() if isinstance(value, str) else ""
        guess = "true" if word in ("true", "yes", "on", "y") else "false" if word in ("false", "no", "off", "n") else ""
        raise refuse(what, f"write {guess}" if guess else "write true or false")

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, core_schema.bool_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": [True, False, "true", "false"]}


@dataclass(frozen=True)
class MayBeEmpty:
    """A block or list whose key may have no value, as when all its lines are commented out."""

    empty: Callable[[], Any]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: self.empty() if value is None else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "null"}]}


@dataclass(frozen=True)
class OneOrMore:
    """A list that may also be written as its only item."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else (value,), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


def refuse_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the list. Raises the error for its first duplicate, if it has one."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise refuse(f"{value} is listed twice", "delete one of the two", at=(index,))
    return values


def refuse_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise refuse("is an empty list", "name at least one")
    return values


EachOnce = AfterValidator(refuse_duplicates)
AtLeastOne = AfterValidator(refuse_empty)
