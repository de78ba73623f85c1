"""A damaged age file is refused in one sentence; one that the specification accepts is read."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections import defaultdict

import pytest

from reconciler.errors import SecretRefused
from reconciler.secrets.identities import Keys, find_keys
from reconciler.secrets.sealed import Recipient, read_recipients, readers_of, seal, unseal
from tests.support import age_files, npm
from tests.support.age_files import BEGIN, END, INTRO, age_file, armored, b64, mac_line, payload, x25519_stanza

VALUE = b"planted"
KEYS = find_keys({"SOPS_AGE_KEY": age_files.identity()})
STANZA = x25519_stanza()
WHOLE = age_file(STANZA)
HEAD = INTRO + STANZA
ARMOR = armored(WHOLE)
SHARE, BODY = STANZA.split("\n")[0].split(" ")[2], STANZA.split("\n")[1]
SCRYPT = f"-> scrypt {b64(bytes(16))} 10\n{b64(bytes(32))}\n"
PQ = f"-> mlkem768x25519 {b64(bytes(1120))}\n{b64(bytes(32))}\n"


def with_head(head: str, mac: str | None = None) -> bytes:
    return (head + (mac_line(head) if mac is None else mac)).encode() + payload(VALUE)


GOOD = {
    "binary": WHOLE,
    "two stanzas": age_file(STANZA, x25519_stanza()),
    "a stanza of another kind": age_file("-> other a b\n\n", STANZA),
    "a stanza that adds nothing": age_file(STANZA, "-> x-grease %!\nAAAA\n"),
    "a post-quantum stanza beside": age_file(PQ, STANZA),
    "a long body": age_file(f"-> other\n{'A' * 64}\n{'A' * 64}\n\n", STANZA),
    "armor": ARMOR.encode(),
    "armor of Windows": ARMOR.replace("\n", "\r\n").encode(),
    "armor without the last line end": ARMOR.strip().encode(),
    "blank lines around the armor": f"\n \n{ARMOR}\n\t\n".encode(),
    "comments before the armor": f"# for {age_files.recipient()} anna\n\n# more\n{ARMOR}".encode(),
    "two chunks": age_file(STANZA, value=VALUE + bytes(age_files.CHUNK)),
}
DAMAGED = {
    "nothing": b"",
    "another version": with_head(HEAD.replace("/v1", "/v2")),
    "a header of Windows": with_head(HEAD.replace("\n", "\r\n")),
    "no stanza": with_head(INTRO),
    "a stanza without a body": with_head(f"{INTRO}-> X25519 {SHARE}\n"),
    "another stanza without a body": with_head(f"{HEAD}-> other\n"),
    "a stanza without its short last line": with_head(f"{INTRO}-> other\n{'A' * 64}\n{STANZA}"),
    "a stanza with a long line": with_head(f"{INTRO}-> other\n{'A' * 68}\n\n{STANZA}"),
    "a stanza with two short lines": with_head(f"{INTRO}-> other\nAAAA\nAAAA\n{STANZA}"),
    "a stanza with padding": with_head(f"{INTRO}-> other\nAA==\n{STANZA}"),
    "a body of impossible length": with_head(f"{INTRO}-> other\nA\n{STANZA}"),
    "a body that is not canonical": with_head(f"{INTRO}-> other\nAB\n{STANZA}"),
    "a stanza without a kind": with_head(f"{INTRO}->\n\n{STANZA}"),
    "an empty argument": with_head(f"{INTRO}-> other  a\n\n{STANZA}"),
    "an argument with a strange letter": with_head(f"{INTRO}-> other ä\n\n{STANZA}"),
    "a line that is no stanza": with_head(f"{HEAD}- > other\n\n"),
    "an argument too many": with_head(INTRO + x25519_stanza(extra=" 1234")),
    "a short share": with_head(INTRO + x25519_stanza(share=bytes(31))),
    "a share of low order": with_head(INTRO + x25519_stanza(share=bytes(32))),
    "a short file key": with_head(f"{INTRO}-> X25519 {SHARE}\n{BODY[:-4]}\n"),
    "scrypt beside another": with_head(HEAD + SCRYPT),
    "scrypt twice": with_head(INTRO + SCRYPT + SCRYPT),
    "no MAC": with_head(HEAD, ""),
    "an empty MAC": with_head(HEAD, "---\n"),
    "a wrong MAC": with_head(HEAD, f"--- {b64(bytes(32))}\n"),
    "a short MAC": with_head(HEAD, f"--- {b64(bytes(31))}\n"),
    "a MAC without a blank": with_head(HEAD, mac_line(HEAD).replace("--- ", "---")),
    "a MAC and a blank": with_head(HEAD, mac_line(HEAD).replace("\n", " \n")),
    "a MAC of something else": with_head(HEAD, mac_line(HEAD + "-> other\n\n")),
    "no payload": (HEAD + mac_line(HEAD)).encode(),
    "a short nonce": (HEAD + mac_line(HEAD)).encode() + bytes(12),
    "no chunk": (HEAD + mac_line(HEAD)).encode() + bytes(16),
    "a last chunk without its mark": (HEAD + mac_line(HEAD)).encode() + payload(VALUE, last=False),
    "an empty last chunk": (HEAD + mac_line(HEAD)).encode() + payload(b"", [bytes(age_files.CHUNK), b""]),
    "a short chunk before the last": (HEAD + mac_line(HEAD)).encode() + payload(b"", [b"a", b"b"]),
    "garbage after the payload": WHOLE + b"x",
    "garbage before the armor": f"garbage\n{ARMOR}".encode(),
    "garbage on the first line of the armor": f"x{ARMOR}".encode(),
    "garbage after the armor": f"{ARMOR}garbage\n".encode(),
    "another file after the armor": (ARMOR + ARMOR).encode(),
    "armor without its end": ARMOR.replace(f"{END}\n", "").encode(),
    "armor of another kind": ARMOR.replace("AGE ENCRYPTED FILE", "PGP MESSAGE").encode(),
    "armor without content": f"{BEGIN}\n{END}\n".encode(),
    "armor with headers": ARMOR.replace(f"{BEGIN}\n", f"{BEGIN}\nComment: x\n\n").encode(),
    "armor with an empty line": ARMOR.replace(f"\n{END}", f"\n\n{END}").encode(),
    "armor with short lines": armored(WHOLE, 60).encode(),
    "armor with long lines": armored(WHOLE, 68).encode(),
    "armor with blanks": ARMOR.replace("\n", " \n").encode(),
    "armor of garbage": armored(bytes(100)).encode(),
}


def outcome(content: bytes, keys: Keys = KEYS) -> bytes | str:
    """The value, or the one sentence that refuses it. Anything else that is raised is a failure."""
    readers_of(content)
    try:
        return unseal(content, keys, "secrets/a.age")
    except SecretRefused as refused:
        assert "\n" not in str(refused)
        assert refused.next_step
        return str(refused)


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_file_is_read(name: str) -> None:
    found = outcome(GOOD[name])

    assert isinstance(found, bytes)
    assert found.rstrip(b"\0") == VALUE


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_in_one_sentence(name: str) -> None:
    assert outcome(DAMAGED[name]) == "secrets/a.age is damaged"


def test_a_file_for_a_passphrase_or_for_a_new_kind_of_key_is_told_as_such() -> None:
    assert outcome(age_file(SCRYPT)) == "secrets/a.age is encrypted with a passphrase, which reconcile cannot ask for"
    assert outcome(age_file(PQ)) == (
        "secrets/a.age is encrypted only for keys of a kind that is not supported (mlkem768x25519)"
    )


def test_no_cut_and_no_changed_byte_gives_another_value_or_a_traceback() -> None:
    """Of an age file as we write it: every length, and every byte changed in two ways."""
    recipients = (Recipient(age_files.recipient(), "anna"),)
    whole = seal(VALUE, recipients)
    chance = random.Random(7)
    assert outcome(whole) == VALUE

    for length in range(len(whole) - 1):
        assert outcome(whole[:length]) in ("secrets/a.age is damaged", VALUE)  # VALUE: without the last line end
    for at in range(len(whole)):
        for other in (whole[at] ^ 1 << chance.randrange(8), chance.randrange(256)):
            changed = whole[:at] + bytes([other]) + whole[at + 1 :]
            found = outcome(changed)
            assert found == VALUE or isinstance(found, str)


def test_no_cut_and_no_changed_bit_of_a_binary_file_gives_another_value_or_a_traceback() -> None:
    assert [outcome(WHOLE[:length]) for length in range(len(WHOLE))] == ["secrets/a.age is damaged"] * len(WHOLE)
    for at in range(len(WHOLE)):
        for bit in range(8):
            found = outcome(WHOLE[:at] + bytes([WHOLE[at] ^ 1 << bit]) + WHOLE[at + 1 :])
            assert isinstance(found, str), (at, bit)


def test_the_vectors_of_the_age_project_end_as_they_should() -> None:
    """Post-quantum files are refused by name: the library has no such identities. Passphrases are not asked for."""
    script = """
        import * as vectors from "cctv-age";
        const texts = Object.entries(vectors).map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]);
        console.log(JSON.stringify(Object.fromEntries(texts)));
    """
    wrong = []
    vectors = npm.run_node(script)
    for name, text in vectors.items():
        expected, keys, content = read_vector(base64.b64decode(text))
        if "hybrid" in name or "scrypt" in name:
            expected = None
        found = outcome(content, keys)
        if expected != (hashlib.sha256(found).hexdigest() if isinstance(found, bytes) else None):
            wrong.append(f"{name}: {found!r}")

    assert len(vectors) > 100
    assert wrong == []


def read_vector(vector: bytes) -> tuple[str | None, Keys, bytes]:
    """The digest of the value, or None if it must be refused; the keys; the file."""
    head, _, content = vector.partition(b"\n\n")
    said: dict[str, list[str]] = defaultdict(list)
    for line in head.decode().splitlines():
        key, _, text = line.partition(": ")
        said[key].append(text)
    content = zlib.decompress(content) if said["compressed"] else content
    keys = find_keys({"SOPS_AGE_KEY": "\n".join(said["identity"])})
    return said["payload"][0] if said["expect"] == ["success"] else None, keys, content


def test_recipients_are_read_whatever_the_bytes() -> None:
    chance = random.Random(3)
    for _ in range(200):
        read_recipients(chance.randbytes(chance.randrange(80)), "r")
