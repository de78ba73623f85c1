"""The release archive of a version: its source, its signature, and whether controller or host fetches it."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from reconciler.model.fields import Text, quoted_excerpt, refuse
from reconciler.model.machine import Strict
from reconciler.model.source import (
    KINDS,
    MACHINES,
    LocalFile,
    NotASource,
    WebAddress,
    differs_by_arch,
    fill_in_arch,
    read_source,
)
from reconciler.model.values import LINE, Sha256


def _check_source(source: str) -> str:
    for place in re.findall(r"\{[^{}]*\}", source):
        if place not in ("{version}", "{arch}", "{machine}"):
            next_step = "only {version}, {arch} (amd64, arm64) and {machine} (x86_64, aarch64) are filled in"
            raise refuse(f"{quoted_excerpt(place)} is not a placeholder", next_step)
    try:
        place = read_source(source, "1.0")
    except NotASource as error:
        raise refuse(str(error), error.next_step) from None
    if isinstance(place, WebAddress):
        if not source.startswith("https://"):
            raise refuse("is not an https:// address", "publish the artifact over https")
        if "@" in re.split(r"[/?#]", source.removeprefix("https://"), maxsplit=1)[0]:
            raise refuse("contains a login, which does not belong in git", "remove user and password from the address")
    return source


Source = Annotated[
    str,
    Text(rf"{LINE}+", "must be one line of text", f"write {KINDS}", longest=2048, secret=True),
    AfterValidator(_check_source),
]


def _check_minisign_key(key: str) -> str:
    # The key is the algorithm "Ed", 8 bytes of key id and 32 bytes of ed25519.
    if base64.b64decode(key)[:2] != b"Ed":
        raise refuse("is not a public key of minisign", "copy the last line of minisign.pub, which begins with RW")
    return key


MinisignKey = Annotated[
    str,
    Text(
        r"[A-Za-z0-9+/]{56}",
        "is not a public key of minisign",
        "copy the last line of minisign.pub, which begins with RW",
        secret=True,  # if the secret key is written here by mistake, it must not appear in a log
    ),
    AfterValidator(_check_minisign_key),
]


class Digests(Strict):
    """The digest of the archive for each architecture. One that is left out is not installed there."""

    amd64: Sha256 | None = Field(default=None, description="Digest for x86_64, which `uname -m` also calls it.")
    arm64: Sha256 | None = Field(default=None, description="Digest for aarch64, which `uname -m` also calls it.")

    def of(self, arch: str) -> str | None:
        return {"amd64": self.amd64, "arm64": self.arm64}.get(arch)


def check_digests(source: str, sha256: str | Digests | None) -> None:
    """Raise the error for a digest that does not belong to this source: one for two archives, or two for one."""
    if isinstance(sha256, Digests) and not differs_by_arch(source):
        raise refuse("has a digest for each architecture", "write {arch} in source, or one digest", at=("sha256",))
    if isinstance(sha256, str) and differs_by_arch(source):
        message = "is one digest, but {arch} in source stands for two archives"
        raise refuse(message, "write sha256: {amd64: …, arm64: …}", at=("sha256",))


def _kind_of_digest(value: object) -> str:
    return "Digests" if isinstance(value, (dict, Digests)) else "digest"


Sha256OfEach = Annotated[
    Annotated[Sha256, Tag("digest")] | Annotated[Digests, Tag("Digests")],
    Discriminator(_kind_of_digest),
]


class Artifact(Strict):
    """The release archive of a version: its place, its digest or signature, and how it gets to a host."""

    source: Source = Field(
        description="A path from the desired-state folder, https://, github:owner/repo, s3://bucket/key or "
        "oci://registry/repo:{version}; {version} is filled in, and for each host {arch} (amd64, arm64) or {machine} "
        "(x86_64, aarch64). Inside { } it needs quotes."
    )
    sha256: Sha256OfEach | None = Field(
        default=None,
        description="Digest of the archive; with {arch}, one for each: {amd64: 9f2c…, arm64: 4e1b…}. "
        "Not needed for a local path, or if there is a SHA256SUMS beside the "
        "archive, or if GitHub or the registry states the digest.",
    )
    minisign: MinisignKey | None = Field(
        default=None,
        description="Public key of minisign. Only archives signed in <artifact>.minisig or SHA256SUMS.minisig are "
        "installed.",
    )
    fetch: Literal["controller", "host"] = Field(
        default="controller",
        description="Which machine downloads the archive: the controller, or the host itself with its curl or wget.",
    )

    @property
    def by_arch(self) -> dict[str, Artifact]:
        """The artifact of each architecture, without placeholders for it; empty if all have the same."""
        return {arch: self._on(arch) for arch in MACHINES} if differs_by_arch(self.source) else {}

    def _on(self, arch: str) -> Artifact:
        digest = self.sha256.of(arch) if isinstance(self.sha256, Digests) else None
        return self.model_copy(update={"source": fill_in_arch(self.source, arch), "sha256": digest})

    @property
    def digest(self) -> str | None:
        """The digest of an artifact that is the same for all architectures, or for one of `by_arch`."""
        assert not isinstance(self.sha256, Digests)
        return self.sha256

    @model_validator(mode="after")
    def _check_digests(self) -> Self:
        check_digests(self.source, self.sha256)
        return self

    @model_validator(mode="after")
    def _check_fetch(self) -> Self:
        if self.fetch == "host" and isinstance(read_source(self.source, "1.0"), LocalFile):
            raise refuse("needs a published artifact", "leave it out for a path", at=("fetch",))
        return self
