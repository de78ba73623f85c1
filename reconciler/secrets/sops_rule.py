"""Which values of a SOPS file are encrypted, by applying the file's one rule to the keys on their paths. Pure.

Anyone who can commit can write a pattern, and one such as `(a+)+$` would block Python's own engine, and every pass with
it. So we use an engine that never backtracks: Rust's, which comes with pydantic. SOPS itself uses such an engine, Go's,
which does not have look-around or back-references either. The time is proportional to the size of the pattern times
that of the text, and both are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

RULES: Final = ("unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex")
_LONGEST_PATTERN: Final = 256
_MOST_KEY_CHARACTERS: Final = 32 * 1024  # of all different keys of a file together
_COUNT: Final = re.compile(r"\{[0-9]+,?[0-9]*\}")  # multiplies the size of the preceding part


class RuleUnusable(ValueError):
    """The pattern is not one that can be matched here."""


def rule_of(sops: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> Callable[[tuple[str, ...]], bool]:
    """Return a predicate: True if the value at the end of one of these paths is encrypted. Raises RuleUnusable.

    A rule that matches any key on a path applies to its value.
    """
    rule = next((name for name in RULES if sops.get(name)), RULES[0])
    word = str(sops.get(rule) or "_unencrypted")
    keys = {key for path in paths for key in path}
    matches = _pattern(word, keys) if rule.endswith("regex") else lambda key: key.endswith(word)
    matching = {key for key in keys if matches(key)}
    return lambda path: (not matching.isdisjoint(path)) == rule.startswith("encrypted")


def _pattern(text: str, keys: set[str]) -> Callable[[str], bool]:
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    if len(text) > _LONGEST_PATTERN:
        raise RuleUnusable(f"its pattern is longer than {_LONGEST_PATTERN} characters")
    if _COUNT.search(text):
        raise RuleUnusable(f"its pattern {text!r} has a count in {{}}, which is not supported")
    if sum(map(len, keys)) > _MOST_KEY_CHARACTERS:
        raise RuleUnusable(f"its keys have more than {_MOST_KEY_CHARACTERS} characters in all, too many for a pattern")
    try:
        schema = core_schema.str_schema(pattern=text, regex_engine="rust-regex", strict=True)
        return SchemaValidator(schema).isinstance_python
    except SchemaError:
        raise RuleUnusable(f"its pattern {text!r} is not supported") from None
