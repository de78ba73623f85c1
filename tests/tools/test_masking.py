"""A secret never gets through a stream, wherever it is cut, and nothing else is lost or kept waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.tools.masking import Masker


def masked(secrets: list[str], *pieces: bytes) -> bytes:
    masker = Masker(secrets)
    return b"".join([*(masker.feed(piece) for piece in pieces), masker.end()])


def test_a_secret_cut_in_two_is_masked() -> None:
    assert masked(["s3cret"], b"a s3c", b"ret b") == b"a *** b"


def test_what_is_no_secret_is_shown_at_once() -> None:
    """Also without a line end: a progress bar moves."""
    assert Masker(["s3cret"]).feed(b"10 %") == b"10 %"


def test_the_beginning_of_a_secret_waits_and_comes_when_it_was_none() -> None:
    masker = Masker(["s3cret"])

    assert (masker.feed(b"a s3"), masker.feed(b"x")) == (b"a ", b"s3x")


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert masked(["abc", "abcdef"], b"abc", b"def abcd") == b"*** ***d"


def test_a_secret_of_several_lines_is_masked() -> None:
    assert masked(["key\nof\nlines"], b"it is key\n", b"of\nlines\n") == b"it is ***\n"


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("abc", max_size=5), max_size=6))
def test_however_it_is_cut_the_whole_is_as_if_it_had_not_been(secret: str, pieces: list[str]) -> None:
    whole = "".join(pieces).replace(secret, "***")

    assert masked([secret], *(piece.encode() for piece in pieces)) == whole.encode()
