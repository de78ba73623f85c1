"""Which values of a SOPS file are encrypted: by the one rule that the file states, asked of the keys. Pure.

A pattern comes from whoever may commit, and Python's own engine would stand still at `(a+)+$`, and with it every
pass. So it goes to an engine that never goes back, Rust's, which pydantic brings along. SOPS itself uses one of that
kind (Go's), which knows neither look-around nor back-references either. Its time is the size of the pattern times that
of the text, and both are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

RULES: Final = ("unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex")
_LONGEST_PATTERN: Final = 256
_MOST_KEY_CHARACTERS: Final = 32 * 1024  # of all different keys of a file together
_COUNT: Final = re.compile(r"\{[0-9]+,?[0-9]*\}")  # multiplies the size of what stands before it


class RuleUnusable(ValueError):
    """The pattern is not one that can be matched here."""


def rule_of(sops: Mapping[str, Any], ways: Iterable[tuple[str, ...]]) -> Callable[[tuple[str, ...]], bool]:
    """Tells whether the value at the end of one of these ways is encrypted. Raises RuleUnusable.

    A value is below a key when that is anywhere on the way to it.
    """
    rule = next((each for each in RULES if sops.get(each)), RULES[0])
    word = str(sops.get(rule) or "_unencrypted")
    keys = {key for way in ways for key in way}
    fits = _pattern(word, keys) if rule.endswith("regex") else lambda key: key.endswith(word)
    fitting = {key for key in keys if fits(key)}
    return lambda way: (not fitting.isdisjoint(way)) == rule.startswith("encrypted")


def _pattern(text: str, keys: set[str]) -> Callable[[str], bool]:
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    if len(text) > _LONGEST_PATTERN:
        raise RuleUnusable(f"its pattern is longer than {_LONGEST_PATTERN} characters")
    if _COUNT.search(text):
        raise RuleUnusable(f"its pattern {text!r} counts with {{}}, which is not done here")
    if sum(map(len, keys)) > _MOST_KEY_CHARACTERS:
        raise RuleUnusable(f"its keys are longer than {_MOST_KEY_CHARACTERS} characters, too many for a pattern")
    try:
        schema = core_schema.str_schema(pattern=text, regex_engine="rust-regex", strict=True)
        return SchemaValidator(schema).isinstance_python
    except SchemaError:
        raise RuleUnusable(f"its pattern {text!r} cannot be read") from None
