"""artifact/signed.py and minisign.py: signatures by minisign itself, and forged ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reconciler.apply.install import load_or_fetch
from reconciler.artifact.signed import verify_signature
from reconciler.errors import ArtifactMissing, ArtifactRefused
from reconciler.model.desired import App
from reconciler.model.machine import read_host
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from tests.support.archives import file, tar_bytes
from tests.support.web_server import Server, gives

# Made by minisign 0.11: `minisign -Sm app-1.0.tar.gz`, and with -l in the old form.
CONTENT = b"hello archive"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEY = "RWSXxCDU4BTSHEyRWLdBs16Ivu4E4pmoOrTmbiiFdw33j5jQdIqJzE7W"
PREHASHED = """\
untrusted comment: signature from minisign secret key
RUSXxCDU4BTSHIUOxvagdiDE7MfhkmC8JtGBVSeyDYUzOBrblbbejG+icYNP9rJRWpP4Knljwgy9gIWO8sK4bzTjGeroiAuGpw0=
trusted comment: timestamp:1795701187\tfile:app-1.0.tar.gz\thashed
Kgx5ypiiLeVCGkqEaHV1WXe7QNzJVBQehSdSo6J7FL9Lbt4eDW+vXOYuFdIwGvP0S9kj/uuFdLo+xxJbscMSBA==
"""
LEGACY = """\
untrusted comment: signature from minisign secret key
RWSXxCDU4BTSHN+mHRqfMwxd0ZZB6t+ksX59L/gYKCRFPYKAK1WmUAm1Jy4CgbGl1Zkl+5CrGprmF4jyW3O7j7Dr0g4am3XL6A0=
trusted comment: timestamp:1795701187\tfile:app-1.0.tar.gz
M3NNpfjU4TkDI5Ex2VKguGCRzPX3dJudxTVgn7WKjzlJcGFntYMv4I0psaW3thHfUxt3p7FL4FuBPVx+AwuDAA==
"""
OWN = Ed25519PrivateKey.generate()
OWN_ID = b"12345678"
OWN_KEY = base64.b64encode(b"Ed" + OWN_ID + OWN.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def sign(content: bytes, comment: str) -> str:
    """A signature as minisign writes it, by a test key."""
    value = OWN.sign(hashlib.blake2b(content).digest())
    whole = OWN.sign(value + comment.encode())
    lines = ["untrusted comment: x", base64.b64encode(b"ED" + OWN_ID + value).decode()]
    return "\n".join([*lines, f"trusted comment: {comment}", base64.b64encode(whole).decode()]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app-1.0.tar.gz").write_bytes(CONTENT)
    return tmp_path


def prove(folder: Path, key: str = KEY, sha256: str = SHA256, source: str = "app-{version}.tar.gz") -> None:
    asyncio.run(verify_signature(source, "1.0", folder, key, sha256, folder / "app-1.0.tar.gz"))


def refused(folder: Path, key: str = KEY, sha256: str = SHA256) -> str:
    with pytest.raises(ArtifactRefused) as caught:
        prove(folder, key, sha256)
    assert caught.value.next_step
    return str(caught.value)


@pytest.mark.parametrize("text", [PREHASHED, LEGACY, PREHASHED.replace("\n", "\r\n"), PREHASHED + "\n"])
def test_a_signature_by_minisign_is_accepted(folder: Path, text: str) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_bytes(text.encode())

    prove(folder)


@pytest.mark.parametrize("text", [PREHASHED, LEGACY])
def test_other_bytes_under_the_signature_are_refused(folder: Path, text: str) -> None:
    """Also when the digest that is wanted was changed along with them."""
    (folder / "app-1.0.tar.gz.minisig").write_text(text)
    (folder / "app-1.0.tar.gz").write_bytes(CONTENT + b"!")

    assert "the sha256 does not match" in refused(folder)
    digest = hashlib.sha256(CONTENT + b"!").hexdigest()
    assert refused(folder, sha256=digest).endswith("does not match its content")


@pytest.mark.parametrize("text", [PREHASHED, LEGACY])
def test_a_trusted_comment_that_was_changed_is_refused(folder: Path, text: str) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text(text.replace("timestamp:17", "timestamp:18"))

    assert refused(folder).endswith("does not match its content")


def test_a_signature_cut_down_to_its_first_half_is_refused(folder: Path) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text("\n".join(PREHASHED.splitlines()[:2]))

    assert refused(folder) == "app-1.0.tar.gz.minisig is not a minisign signature"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        PREHASHED.replace("untrusted comment: ", "comment: "),
        PREHASHED.replace("RUSX", "RVSX"),
        PREHASHED.replace("RUSX", "RU"),
        PREHASHED.replace("Kgx5", "!gx5"),
        PREHASHED.replace("MSBA==", ""),
        PREHASHED + PREHASHED,
    ],
)
def test_a_text_that_is_not_a_signature_is_refused(folder: Path, text: str) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text(text)

    assert refused(folder) == "app-1.0.tar.gz.minisig is not a minisign signature"


def test_a_prehashed_signature_cannot_pass_as_a_legacy_one(folder: Path) -> None:
    """The hashed form called the old one: it would sign the 64 bytes of a hash as if they were a file."""
    swapped = base64.b64encode(b"Ed" + base64.b64decode(PREHASHED.splitlines()[1])[2:]).decode()
    (folder / "app-1.0.tar.gz.minisig").write_text(PREHASHED.replace(PREHASHED.splitlines()[1], swapped))

    assert refused(folder).endswith("does not match its content")


def test_a_signature_by_another_key_names_that_key(folder: Path) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text(PREHASHED)

    assert refused(folder, OWN_KEY) == (
        f"{folder}/app-1.0.tar.gz is signed with the key 1CD214E0D420C497, not with 3837363534333231"
    )


def test_another_key_with_the_same_key_id_is_refused(folder: Path) -> None:
    raw = base64.b64decode(OWN_KEY)
    (folder / "app-1.0.tar.gz.minisig").write_text(PREHASHED)

    same_number = base64.b64encode(b"Ed" + base64.b64decode(KEY)[2:10] + raw[10:]).decode()
    assert refused(folder, same_number).endswith("does not match its content")


def test_an_old_artifact_cannot_pass_as_a_new_one(folder: Path) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text(sign(CONTENT, "timestamp:1\tfile:app-0.9.tar.gz\thashed"))

    assert refused(folder, OWN_KEY).endswith("was made for a file called app-0.9.tar.gz")


@pytest.mark.parametrize(
    "comment",
    [
        "release of monday",
        "",
        "file:",
        "x file:app-1.0.tar.gz",
        "timestamp:1 file:app-1.0.tar.gz",
        "xfile:app-1.0.tar.gz",
        "File:app-1.0.tar.gz",
        "file:dist/",
        "file:app-1.0.tar.gz\tfile:app-0.9.tar.gz",
        "file:app-0.9.tar.gz\tfile:app-1.0.tar.gz",
    ],
)
def test_a_signature_that_names_no_file_is_refused(folder: Path, comment: str) -> None:
    """It would fit an old artifact under any new name."""
    (folder / "app-1.0.tar.gz.minisig").write_text(sign(CONTENT, comment))

    with pytest.raises(ArtifactRefused, match=r"does not say which file it is for") as caught:
        prove(folder, OWN_KEY)
    assert "minisign -S -t 'file:app-1.0.tar.gz' -m app-1.0.tar.gz" in caught.value.next_step


@pytest.mark.parametrize(
    "comment", ["file:app-1.0.tar.gz", "file:dist/app-1.0.tar.gz", "build 7\tfile:app-1.0.tar.gz\thashed"]
)
def test_a_custom_trusted_comment_may_name_the_file(folder: Path, comment: str) -> None:
    (folder / "app-1.0.tar.gz.minisig").write_text(sign(CONTENT, comment))

    prove(folder, OWN_KEY)


def test_a_missing_signature_stops_the_installation(folder: Path) -> None:
    """It may be published in a moment, after the artifact; until then nothing is installed."""
    (folder / "SHA256SUMS").write_text(f"{SHA256}  app-1.0.tar.gz\n")

    with pytest.raises(ArtifactMissing, match=r"is not signed: there is neither app-1.0.tar.gz.minisig nor SHA256SUMS"):
        prove(folder)
    (folder / "app-1.0.tar.gz.minisig").write_text("")
    with pytest.raises(ArtifactMissing):
        prove(folder)


def test_a_signed_list_covers_only_the_files_it_names(folder: Path) -> None:
    sums = f"{SHA256}  app-1.0.tar.gz\n"
    (folder / "SHA256SUMS").write_text(sums)
    (folder / "SHA256SUMS.minisig").write_text(sign(sums.encode(), "file:SHA256SUMS"))

    prove(folder, OWN_KEY)
    assert "gives it" in refused(folder, OWN_KEY, sha256="a" * 64)
    (folder / "SHA256SUMS.minisig").write_text(sign(b"", "file:SHA256SUMS"))
    (folder / "SHA256SUMS").write_text("")
    assert "has no line for app-1.0.tar.gz" in refused(folder, OWN_KEY)
    (folder / "SHA256SUMS").write_text(sums)
    assert "does not match" in refused(folder, OWN_KEY)


def test_a_signed_list_does_not_outweigh_a_bad_signature_of_the_artifact(folder: Path) -> None:
    sums = f"{SHA256}  app-1.0.tar.gz\n"
    (folder / "SHA256SUMS").write_text(sums)
    (folder / "SHA256SUMS.minisig").write_text(sign(sums.encode(), "file:SHA256SUMS"))
    (folder / "app-1.0.tar.gz.minisig").write_text(PREHASHED)

    assert "is signed with the key" in refused(folder, OWN_KEY)


def test_the_signature_is_read_from_beside_the_artifact(
    folder: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers["/dl/app-1.0.tar.gz.minisig"] = gives(PREHASHED.encode())

    prove(folder, source=server.address + "/dl/app-{version}.tar.gz?token=t0ken")
    assert server.asked == ["/dl/app-1.0.tar.gz.minisig"]
    assert "t0ken" not in caplog.text


def test_an_already_prepared_release_is_not_installed_without_its_signature(tmp_path: Path) -> None:
    """The key was added to an app whose archive had been judged already: it is asked for all the same."""
    archive = tar_bytes([file("bin/hello", mode=0o755)])
    (tmp_path / "hello-1.0.tar").write_bytes(archive)

    assert asyncio.run(load_or_fetch(target(tmp_path), lambda text: None)).executables == ("bin/hello",)
    with pytest.raises(ArtifactMissing, match="is not signed"):
        asyncio.run(load_or_fetch(target(tmp_path, minisign=OWN_KEY), lambda text: None))
    (tmp_path / "hello-1.0.tar.minisig").write_text(sign(archive, "file:hello-1.0.tar"))
    assert asyncio.run(load_or_fetch(target(tmp_path, minisign=OWN_KEY), lambda text: None)).executables == (
        "bin/hello",
    )
    with pytest.raises(ArtifactRefused, match="is signed with the key"):
        asyncio.run(load_or_fetch(target(tmp_path, minisign=KEY), lambda text: None))


def target(folder: Path, **more: str) -> TargetFiles:
    artifact = {"source": "hello-{version}.tar", **more}
    app = App.model_validate({"app": "hello", "version": "1.0", "artifact": artifact, "hosts": ["web1"]})
    return resolve(app, HostSite("web1", read_host("web1"), (8080,)), Traefik(), folder, SHA256, str)
