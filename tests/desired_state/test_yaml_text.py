"""YAML text becomes a tree of source text with places; constructs that hide meaning are refused at their place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired_state.yaml_text import DEEPEST, LARGEST_FILE, MOST_PROBLEMS, Document, read_yaml

both_parsers = pytest.mark.parametrize("pure", [False, True], ids=["libyaml", "pure"])


def read(text: str, pure: bool = False) -> Document:
    return read_yaml(text.encode(), "f", pure=pure)


@both_parsers
def test_every_scalar_keeps_its_source_text(pure: bool) -> None:
    """YAML 1.1 would read these as 1.1, 420, 1342, a date or a boolean."""
    text = "a: 1.10\nb: 0644\nc: 22:22\nd: 2026-11-23\ne: on\nf: 1_000\ng: 'it''s'\nh: \"x\\ty\"\n"

    assert read(text, pure).value == {
        "a": "1.10",
        "b": "0644",
        "c": "22:22",
        "d": "2026-11-23",
        "e": "on",
        "f": "1_000",
        "g": "it's",
        "h": "x\ty",
    }


@both_parsers
def test_only_plain_nulls_are_null(pure: bool) -> None:
    """A quoted null or an empty pair of quotes is text."""
    text = "a:\nb: ~\nc: null\nd: Null\ne: 'null'\nf: ''\ng: '~'\nh: [~, x]\n"

    assert read(text, pure).value == {
        "a": None,
        "b": None,
        "c": None,
        "d": None,
        "e": "null",
        "f": "",
        "g": "~",
        "h": [None, "x"],
    }


@both_parsers
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_places_of_keys_and_values_are_known(pure: bool, line_end: str) -> None:
    """Columns count characters, not bytes; offsets cut the value out of the text."""
    text = line_end.join(["# é", "a: '\U0001f600'   # c", "b:", "  - {c: d}", "e:   # empty", ""])
    document = read(text, pure)
    places = {path: (p.key_line, p.key_column, p.line, p.column) for path, p in document.places.items()}
    cut = {path: text[p.start : p.end] for path, p in document.places.items() if p.form in ("plain", "quoted")}

    assert places == {
        (): (2, 1, 2, 1),
        ("a",): (2, 1, 2, 4),
        ("b",): (3, 1, 4, 3),
        ("b", 0): (4, 5, 4, 5),
        ("b", 0, "c"): (4, 6, 4, 9),
        ("e",): (5, 1, 5, 1),
    }
    assert cut == {("a",): "'\U0001f600'", ("b", 0, "c"): "d", ("e",): ""}


REFUSED = {
    "an alias": ("a: &x 1\nb: *x\n", ["f:1:4  a: anchors (&name)", "f:2:4  b: aliases (*name)"]),
    "an anchor in a list": ("a: [1, &y b]\n", ["f:1:8  a[1]: anchors (&name)"]),
    "an alias as a key": ("a: 1\n*x : 2\n", ["f:2:1  a key must be plain text"]),
    "a python tag": ("a: !!python/object/apply:os.system [ls]\n", ["f:1:4  a: tags (!name)"]),
    "a plain tag": ("a: 1\nb: !!int 5\n", ["f:2:4  b: tags (!name)"]),
    "a local tag on a block": ("a: !x\n  b: 1\n", ["f:1:4  a: tags (!name)"]),
    "a merge key": ("a: 1\n<<: {b: c}\n", ["f:2:1  <<: merge keys"]),
    "a key twice": (
        "a: 1\nb: 2\na: 3\n",
        ["f:3:1  a: is a duplicate key; keep this one or the one in line 1"],
    ),
    "a key twice, deeper": ("a:\n  b: 1\n  'b': 2\n", ["f:3:3  a.b: is a duplicate key"]),
    "a list as a key": ("? [a]\n: b\n", ["f:1:3  a key must be plain text"]),
    "a null key": ("~: b\n", ["f:1:1  ~: a key is missing"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["f:2:1  a second document starts here"]),
    "a tab as indentation": ("a:\n\tb: 1\n", ["f:2:1  there is a tab here"]),
    "a no-break space after a colon": ("a:\xa0b\nc: d\n", ["f:1:3  there is a no-break space here"]),
    "a no-break space in an indentation": ("a:\n  b: 1\n \xa0c: 1\n", ["f:3:2  there is a no-break space here"]),
    "no-break spaces as indentation": ("a:\n\xa0\xa0b: 1\n", ["f:2:1  '\\xa0\\xa0b': there is a no-break space here"]),
    "a tab inside a plain value": ("a: x\ty\n", ["f:1:"]),
    "an open bracket": ("a: [1, 2\n", ["f:2:1  is not YAML"]),
    "an open quote": ("a: 'x\n", ["f:2:1  is not YAML"]),
    "a colon in a plain value": ("a: b: c\n", ["f:1:5  is not YAML: mapping values"]),
    "wrong indentation": ("a: 1\n b: 2\n", ["f:2:3  is not YAML"]),
    "a backtick": ("a: `x`\n", ["f:1:4  is not YAML"]),
    "a control character": ("a: b\nc: \x01\n", ["f:2:4  contains the character U+0001"]),
    "a NUL": ("\x00", ["f:1:1  contains the character U+0000"]),
    "a byte order mark inside": ("a: 1\nb: \ufeff\n", ["f:2:4  contains the character U+FEFF"]),
    "deep nesting": ("a: " + "[" * 500, ["f:1:24  a[0][0]"]),
    "nesting deeper than a parser may go": ("a: " + "[" * 10_000, ["f:1:"]),
}


@both_parsers
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_construct_is_reported_at_its_place(name: str, pure: bool) -> None:
    text, starts = REFUSED[name]
    problems = [str(problem) for problem in read(text, pure).problems]

    assert [problem[: len(start)] for problem, start in zip(problems, starts, strict=True)] == starts


def test_text_that_is_not_utf8_is_refused_with_its_place() -> None:
    assert str(read_yaml(b"a: 1\nb: \xc3\xa9\xff\n", "f").problems[0]).startswith("f:2:5  is not UTF-8")


def test_a_file_over_one_mebibyte_is_refused_unread() -> None:
    assert "larger than 1 MiB" in str(read_yaml(b"a" * (LARGEST_FILE + 1), "f").problems[0])


def test_a_leading_byte_order_mark_is_ignored() -> None:
    document = read("\ufeffa: 1\n")

    assert (document.value, document.places[("a",)].start, document.problems) == ({"a": "1"}, 3, ())


def test_a_billion_laughs_document_is_refused_at_its_first_alias() -> None:
    """Expanded, these nine lines would be 387 million leaves."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    document = read("\n".join(lines))

    assert str(document.problems[0]).startswith("f:1:4  a: anchors")
    assert document.value is None or len(str(document.value)) < 2000


def test_the_number_of_problems_listed_for_one_file_is_limited() -> None:
    assert len(read("a: 1\n" * 5000).problems) == MOST_PROBLEMS


def test_twenty_levels_of_nesting_are_accepted() -> None:
    assert read("a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)).problems == ()


def test_an_error_never_carries_terminal_escapes() -> None:
    problem = read('"\\e[31mx": 1\n"\\e[31mx": 2\n').problems[0]

    assert str(problem).isprintable()


PIECES = [
    "a",
    "b: ",
    ": ",
    ":",
    "\n",
    "\n  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "'",
    '"',
    " # c",
    "é",
    "\U0001f600",
]
PIECES += ["> ", "|\n  ", "&x ", "*x", "!t ", "? ", "~", "null", "1.10", "\r\n", "---\n", "''", "@"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_our_parser_and_pyyaml_read_the_same_values(text: str) -> None:
    """A text that both accept has the same values at the same places."""
    fast, slow = read(text), read(text, pure=True)
    fast_places, slow_places = dict(fast.places), dict(slow.places)
    fast_places.pop((), None), slow_places.pop((), None)

    if not fast.problems and not slow.problems:
        assert (fast.value, fast_places) == (slow.value, slow_places)


VERSION_UNQUOTED = {
    "inside a block in brackets": (
        "artifact: {source: ../build/x-{version}.tar.gz}",
        'f:1:20  {version} inside { } needs quotes; write source: "../build/x-{version}.tar.gz"',
    ),
    "beside other keys": (
        "artifact: {sha256: abc, source: https://x/{version}/x-{version}.tgz, fetch: host}",
        'f:1:33  {version} inside { } needs quotes; write source: "https://x/{version}/x-{version}.tgz"',
    ),
    "over several lines": (
        "artifact: {\n  source: ../x-{version},\n}",
        'f:2:11  {version} inside { } needs quotes; write source: "../x-{version}"',
    ),
    "at the end": (
        "artifact: {source: ../x-{version}}",
        'f:1:20  {version} inside { } needs quotes; write source: "../x-{version}"',
    ),
    "at the beginning of a value": (
        "artifact:\n  source: {version}.tar.gz\n",
        'f:2:11  {version} at the beginning of a value needs quotes; write source: "{version}.tar.gz"',
    ),
    "at the beginning of a value inside brackets": (
        "artifact: {source: {version}.tar.gz}",
        'f:1:20  {version} at the beginning of a value needs quotes; write source: "{version}.tar.gz"',
    ),
    "alone": (
        "artifact:\n  source: {version}\n",
        'f:2:11  artifact.source: {version} alone needs quotes; write "{version}"',
    ),
    "with a space": (
        "artifact: {source: my {version}.tgz}",
        "f:1:23  {version} inside { } needs quotes; put the whole value into quotes",
    ),
}


@both_parsers
@pytest.mark.parametrize(("text", "told"), VERSION_UNQUOTED.values(), ids=VERSION_UNQUOTED)
def test_an_unquoted_version_in_braces_is_refused_with_the_quotes_to_add(pure: bool, text: str, told: str) -> None:
    """A common mistake: on its own line the same value needs no quotes."""
    assert [str(problem) for problem in read(text, pure).problems] == [told]


@both_parsers
def test_a_version_on_a_line_of_its_own_needs_no_quotes(pure: bool) -> None:
    assert read("source: ../x-{version}.tar.gz\n", pure).value == {"source": "../x-{version}.tar.gz"}
