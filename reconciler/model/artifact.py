"""The release archive of a version: its source, its signature, and whether controller or host fetches it."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from reconciler.model.fields import Text, quoted_excerpt, refuse
from reconciler.model.machine import Strict
from reconciler.model.source import KINDS, LocalFile, NotASource, WebAddress, read_source
from reconciler.model.values import LINE, Sha256


def _check_source(source: str) -> str:
    for place in re.findall(r"\{[^{}]*\}", source):
        if place != "{version}":
            raise refuse(f"{quoted_excerpt(place)} is not a placeholder", "only {version} is filled in")
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


class Artifact(Strict):
    """The release archive of a version: its place, its digest or signature, and how it gets to a host."""

    source: Source = Field(
        description="A path from the desired-state folder, https://, github:owner/repo, s3://bucket/key or "
        "oci://registry/repo:{version}; {version} is filled in. Inside { } it needs quotes."
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="Digest of the archive. Not needed for a local path, or if there is a SHA256SUMS beside the "
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

    @model_validator(mode="after")
    def _check_fetch(self) -> Self:
        if self.fetch == "host" and isinstance(read_source(self.source, "1.0"), LocalFile):
            raise refuse("needs a published artifact", "leave it out for a path", at=("fetch",))
        return self
