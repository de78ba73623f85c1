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


def test_text_that_is_not_secret_is_shown_at_once() -> None:
    """Also without a line end: a progress bar moves."""
    assert Masker(["s3cret"]).feed(b"10 %") == b"10 %"


def test_a_possible_start_of_a_secret_is_held_back_until_it_is_clear() -> None:
    masker = Masker(["s3cret"])

    assert (masker.feed(b"a s3"), masker.feed(b"x")) == (b"a ", b"s3x")


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert masked(["abc", "abcdef"], b"abc", b"def abcd") == b"*** ***d"


def test_a_secret_of_several_lines_is_masked() -> None:
    assert masked(["key\nof\nlines"], b"it is key\n", b"of\nlines\n") == b"it is ***\n"


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("abc", max_size=5), max_size=6))
def test_masking_does_not_depend_on_how_the_stream_is_cut(secret: str, pieces: list[str]) -> None:
    whole = "".join(pieces).replace(secret, "***")

    assert masked([secret], *(piece.encode() for piece in pieces)) == whole.encode()
