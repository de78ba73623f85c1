"""SOPS files give their values only when every part of them is what sops wrote."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pyrage
import pytest

from reconciler.errors import SecretRefused
from reconciler.secrets.identities import Keys
from reconciler.secrets.sops import SopsFile
from reconciler.secrets.sops_tree import go_float
from tests.support.sops_files import parts_of, sops_file

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())
KEYS = Keys((IDENTITY,), ("keys.txt",))
OTHER = Keys((pyrage.x25519.Identity.generate(),), ("keys.txt",))
NASTY = "a$b \"quoted\" 'single' `tick` %s %% \\n ü世界 🚀\nsecond line\n\n# no comment\n"
VALUES = {
    "db": {"password": NASTY, "port": 5432, "ratio": 0.1, "tls": True, "off": False, "empty": "", "none": None},
    "list": ["first", {"inner": "second"}],
    "plain_unencrypted": {"port": 8080, "on": True, "ratio": 1.5, "text": "x: y", "octal": "010"},
}
EXPECTED = {
    ("db", "password"): NASTY,
    ("db", "port"): "5432",
    ("db", "ratio"): "0.1",
    ("db", "tls"): "true",
    ("db", "off"): "false",
    ("db", "empty"): "",
    ("list", "0"): "first",
    ("list", "1", "inner"): "second",
    ("plain_unencrypted", "port"): "8080",
    ("plain_unencrypted", "on"): "true",
    ("plain_unencrypted", "ratio"): "1.5",
    ("plain_unencrypted", "text"): "x: y",
    ("plain_unencrypted", "octal"): "010",
}


def opened(text: str, file: str = "secrets/x.yaml", keys: Keys = KEYS) -> dict[tuple[str, ...], str]:
    return dict(SopsFile.read(text.encode(), file).open(keys))


def refusal(text: str, file: str = "secrets/x.yaml", keys: Keys = KEYS) -> str:
    with pytest.raises(SecretRefused) as refused:
        opened(text, file, keys)
    assert refused.value.next_step
    return str(refused.value)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_every_value_comes_back_as_it_was(form: str) -> None:
    text = sops_file(VALUES, [RECIPIENT], form)

    assert opened(text, f"secrets/x.{form}") == EXPECTED


def test_encrypted_comments_are_ignored() -> None:
    text = sops_file({"a": "x"}, [RECIPIENT], comment="who may see this")

    assert text.startswith("#ENC[")
    assert opened(text) == {("a",): "x"}


@pytest.mark.parametrize(
    ("rule", "plain"),
    [
        ({"unencrypted_suffix": "_plain"}, {"host_plain", "under_plain"}),
        ({"encrypted_suffix": "_secret"}, {"host_plain", "under_plain", "user"}),
        ({"unencrypted_regex": "^(host|under)_"}, {"host_plain", "under_plain"}),
        ({"encrypted_regex": "^key_|^user$"}, {"host_plain", "under_plain"}),
    ],
)
@pytest.mark.parametrize("only_encrypted", [False, True])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_values_that_the_sops_rule_leaves_plain_are_read_unchanged(
    rule: dict[str, str], plain: set[str], only_encrypted: bool, form: str
) -> None:
    """Also below such a key, and whether or not the MAC covers it."""
    values = {"host_plain": "web", "under_plain": {"deep": 3}, "user": "anna", "key_secret": "k$"}
    text = sops_file(values, [RECIPIENT], form, only_encrypted=only_encrypted, **rule)

    assert len(list(parts_of(text))) == len(values) - len(plain) + 1  # and the MAC
    assert opened(text, f"x.{form}") == {
        ("host_plain",): "web",
        ("under_plain", "deep"): "3",
        ("user",): "anna",
        ("key_secret",): "k$",
    }


def test_a_plain_value_that_was_changed_makes_the_mac_wrong() -> None:
    text = sops_file({"port_unencrypted": 8080, "a": "x"}, [RECIPIENT])

    assert "its MAC does not match" in refusal(text.replace("8080", "8081"))


def test_where_the_mac_covers_encrypted_values_only_a_plain_one_may_change() -> None:
    text = sops_file({"port_unencrypted": 8080, "a": "x"}, [RECIPIENT], only_encrypted=True)

    assert opened(text.replace("8080", "8081"))[("port_unencrypted",)] == "8081"


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_any_encrypted_part_that_was_altered_is_refused(form: str) -> None:
    """One character of data, iv or tag of any value, and of the MAC."""
    text = sops_file({"a": "one", "b": {"c": 2}}, [RECIPIENT], form)
    for part in parts_of(text):
        for field in ("data:", "iv:", "tag:"):
            at = text.index(field, part.start()) + len(field)
            altered = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]

            said = refusal(altered, f"x.{form}")
            assert "was changed, moved or renamed" in said or "MAC does not match" in said


def test_a_renamed_key_is_refused() -> None:
    """The keys on the way to a value are bound to it."""
    text = sops_file({"test": {"password": "x"}}, [RECIPIENT])

    assert "prod.password was changed, moved or renamed" in refusal(text.replace("test:", "prod:"))
    assert "test.user was changed, moved or renamed" in refusal(text.replace("password:", "user:"))


def test_two_swapped_values_are_refused() -> None:
    text = sops_file({"a": "one", "b": "two"}, [RECIPIENT])
    first, second = (part[0] for part in list(parts_of(text))[:2])

    swapped = text.replace(first, "#").replace(second, first).replace("#", second)
    assert "a was changed, moved or renamed" in refusal(swapped)


def test_swapped_items_of_a_list_make_the_mac_wrong() -> None:
    """They are bound to the same keys: only the MAC knows their order."""
    text = sops_file({"list": ["one", "two"]}, [RECIPIENT])
    first, second = (part[0] for part in list(parts_of(text))[:2])

    assert "MAC does not match" in refusal(text.replace(first, "#").replace(second, first).replace("#", second))


def test_a_removed_value_makes_the_mac_wrong() -> None:
    text = sops_file({"a": "one", "b": "two"}, [RECIPIENT])

    assert "MAC does not match" in refusal("".join(line for line in text.splitlines(True) if not line.startswith("b:")))


def test_a_plain_value_where_an_encrypted_one_belongs_is_refused() -> None:
    """Also when only encrypted values count for the MAC."""
    text = sops_file({"a": "one"}, [RECIPIENT], only_encrypted=True)
    part = next(parts_of(text))[0]

    assert "a should be encrypted, but is not" in refusal(text.replace(part, "planted"))


def test_a_mac_for_another_modification_time_is_refused() -> None:
    text = sops_file({"a": "one"}, [RECIPIENT])

    assert "its MAC was changed" in refusal(text.replace("2026-11-20", "2026-11-21"))


def test_a_file_for_other_recipients_names_them_and_the_searched_key_files() -> None:
    text = sops_file({"a": "one"}, [RECIPIENT])

    said = refusal(text, keys=OTHER)
    assert said == "secrets/x.yaml is not encrypted for the keys in keys.txt"
    assert "there is no private key in ~/.ssh" in refusal(text, keys=Keys(looked=("~/.ssh/id_ed25519",)))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_any_one_of_several_recipients_can_open_it(form: str) -> None:
    other = pyrage.x25519.Identity.generate()
    text = sops_file({"a": "one"}, [str(other.to_public()), RECIPIENT], form)

    assert opened(text, f"x.{form}") == opened(text, f"x.{form}", Keys((other,), ("x",))) == {("a",): "one"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: planted\n", "is not encrypted by SOPS"),
        ("a: planted\nsops: {age: []}\n", "is not encrypted by SOPS"),
        ("- planted\n", "is not a SOPS file"),
        ("a: [planted\n", "line 2"),
        ("a: planted\na: planted\n", "is a duplicate key"),
        ("a: planted\nsops: {mac: x, age: []}\n", "has no age recipient"),
        ("a: planted\nsops: {mac: x, age: [{recipient: a, enc: planted}]}\n", "is not encrypted for the keys"),
        ("a: planted\nsops: {mac: x, key_groups: [x]}\n", "key_groups is not supported"),
        ("a: planted\nsops: {mac: x, encrypted_regex: a, encrypted_suffix: b}\n", "more than one of"),
        ("a: planted\n---\nb: planted\n", "second document"),
    ],
)
def test_a_file_that_is_not_sops_is_refused_without_its_content(text: str, said: str) -> None:
    assert said in refusal(text)
    assert "planted" not in refusal(text)


@pytest.mark.parametrize(
    "text", ['{"a": "planted"}', '{"a": "planted", "a": 1}', '["planted"]', '{"a": planted', "\xff"]
)
def test_bad_json_is_refused_without_its_content(text: str) -> None:
    assert "planted" not in refusal(text, "x.json")


# --- what whoever may commit can make of such a file: it is refused, or read, and soon

LONG_KEY = "a" * 40


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*$",
        "(a|aa)+b?$",
        "(.*a)*(.*a)*(.*a)*$",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "a?" * 60 + "a" * 60 + "$",
        r"(\w*)*!" + r"|(\w*\w*\w*)*$",
    ],
)
def test_a_backtracking_pattern_takes_no_time(pattern: str) -> None:
    """Nobody can hold a pass up with one; what it matches is what SOPS would match."""
    text = sops_file({LONG_KEY: "x", "b": "y"}, [RECIPIENT], encrypted_regex="a")
    begun = time.monotonic()

    with suppress(SecretRefused):  # another rule than the one it was encrypted by
        opened(text.replace("encrypted_regex: a\n", f"encrypted_regex: {json.dumps(pattern)}\n"))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?:a?b?){2000}c", "has a count in {}"),
        ("a{3,}", "has a count in {}"),
        ("x" * 257, "longer than 256 characters"),
        ("(?=a)a", "is not supported"),
        (r"(a)\1", "is not supported"),
        ("(", "is not supported"),
        (r"\w" * 120, "is not supported or is"),
    ],
)
def test_an_unsupported_pattern_is_named(pattern: str, said: str) -> None:
    text = sops_file({"a": "x"}, [RECIPIENT], encrypted_regex="a")
    altered = text.replace("encrypted_regex: a\n", f"encrypted_regex: {json.dumps(pattern)}\n")

    if said == "is not supported or is":  # large, and within what the engine takes or not
        with suppress(SecretRefused):
            opened(altered)
    else:
        assert said in refusal(altered)


def test_a_pattern_is_matched_against_a_limited_number_of_keys() -> None:
    values = {f"{number:06}{'k' * 60}": "x" for number in range(600)}

    assert "too many for a pattern" in refusal(sops_file(values, [RECIPIENT], encrypted_regex="k"))
    assert len(opened(sops_file(values, [RECIPIENT], encrypted_suffix="k"))) == 600


@pytest.mark.parametrize(
    ("pattern", "encrypted"),
    [
        ("^data$", {"data"}),
        ("(?i)DATA", {"data", "meta_data"}),
        ("^(data|stringData)$", {"data"}),
        (r"_\w+$", {"meta_data"}),
    ],
)
def test_the_usual_patterns_mean_what_they_mean_to_sops(pattern: str, encrypted: set[str]) -> None:
    text = sops_file({"data": "a", "meta_data": "b", "x": "c"}, [RECIPIENT], encrypted_regex=pattern)

    assert len(list(parts_of(text))) == len(encrypted) + 1
    assert opened(text) == {("data",): "a", ("meta_data",): "b", ("x",): "c"}


@pytest.mark.parametrize(
    ("text", "file", "said"),
    [
        ('{"a": ' * 50_000 + "1" + "}" * 50_000, "x.json", "is not JSON"),
        ('{"sops": {"mac": "x"}, "b": ' + '{"a": ' * 300 + "1" + "}" * 301, "x.json", "nested deeper than 20"),
        ('{"sops": {"mac": "x"}, "b": ' + "[" * 300 + "1" + "]" * 300 + "}", "x.json", "nested deeper than 20"),
        ("b: " + "[" * 300 + "1" + "]" * 300 + "\nsops: {mac: x}\n", "x.yaml", "nested deeper than 20"),
        ('{"a": "\\ud800", "sops": {"mac": "x"}}', "x.json", "is not JSON"),
        ('{"\\udfff": "a", "sops": {"mac": "x"}}', "x.json", "is not JSON"),
        ('{"a": "' + "x" * (1 << 20) + '"}', "x.json", "is larger than 1 MiB"),
        ("a: &x [1]\nb: *x\nsops: {mac: x}\n", "x.yaml", "are not allowed"),
        (
            "sops: {mac: x, age: [" + "{recipient: a, enc: b}, " * 300 + "]}\na: b\n",
            "x.yaml",
            "more than 200 recipients",
        ),
        ('sops: {mac: "x", age: [{enc: "\\ud800"}]}\na: b\n', "x.yaml", ""),
        ('sops: {mac: "\\ud800", age: [{enc: a}]}\n"\\ud800": "\\udfff"\n', "x.yaml", ""),
    ],
    ids=lambda text: text[:30],
)
def test_a_hostile_file_is_refused(text: str, file: str, said: str) -> None:
    """By name, and with no error but ours."""
    assert said in refusal(text, file)


@pytest.mark.parametrize(
    "number", ["1" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "1e" + "9" * 300, "1_" * 3000 + "1"]
)
def test_an_endless_number_is_handled(number: str) -> None:
    text = sops_file({"n_unencrypted": 7, "a": "x"}, [RECIPIENT])

    assert "MAC does not match" in refusal(text.replace("n_unencrypted: 7", f"n_unencrypted: {number}"))


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1e22, "10000000000000000000000"), (1e-7, "0.0000001"), (-2.50, "-2.5")],
)
def test_floats_enter_the_mac_as_go_prints_them(number: float, text: str) -> None:
    assert go_float(number) == text
