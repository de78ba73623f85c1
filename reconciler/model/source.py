"""The place where an artifact is published: the text of `artifact.source`, read as one of five kinds of place.

Every part is checked here, so that it cannot take on another meaning in a path, an address or a header later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = "a path, https://, github:owner/repo, s3://bucket/key or oci://registry/repo:{version}"
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""The architectures: as Debian, Go and Traefik call them, and as `uname -m` does."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_OWNER: Final = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}"
_REPOSITORY: Final = r"(?!\.{1,2}(?:[/@]|$))[A-Za-z0-9._-]{1,100}"
_ASSET: Final = r"[A-Za-z0-9*_][A-Za-z0-9._+~*-]{0,254}"
_TAG: Final = r"(?!.*(?:\.\.|//|\.lock$|[/.]$))[A-Za-z0-9@_][A-Za-z0-9._+~/@-]{0,254}"
_GITHUB: Final = re.compile(rf"({_OWNER})/({_REPOSITORY})(?:/({_ASSET}))?(?:@({_TAG}))?")
_BUCKET: Final = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([!-~]{1,1024})")
_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]"
_PART: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(rf"((?:{_HOST})(?::[0-9]{{1,5}})?)/({_PART}(?:/{_PART})*)(?::([^/:@]*))?")
_OCI_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class NotASource(ValueError):
    """The text is not a place that an artifact can be read from. The message does not repeat the text."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


@dataclass(frozen=True)
class LocalFile:
    """A path. A relative one starts at the desired-state folder."""

    path: str


@dataclass(frozen=True)
class WebAddress:
    """An http(s) address. The caller decides whether it may be fetched."""

    address: str


@dataclass(frozen=True)
class GitHubAsset:
    """An asset of a GitHub release. `asset` may contain `*`; "" means the release's only archive."""

    owner: str
    repository: str
    asset: str
    tags: tuple[str, ...]  # candidates for the release's tag; the first one that exists counts


@dataclass(frozen=True)
class BucketObject:
    """An object in an S3 bucket."""

    bucket: str
    key: str


@dataclass(frozen=True)
class RegistryTag:
    """An artifact in an OCI registry."""

    registry: str
    repository: str
    tag: str


Place = LocalFile | WebAddress | GitHubAsset | BucketObject | RegistryTag


def fill_in_version(source: str, version: str) -> str:
    """The source with `{version}` replaced by this version."""
    return source.replace("{version}", version)


def fill_in_arch(source: str, arch: str) -> str:
    """The source with `{arch}` and `{machine}` replaced by the two names of this architecture, amd64 or arm64."""
    return source.replace("{arch}", arch).replace("{machine}", MACHINES[arch])


def differs_by_arch(source: str) -> bool:
    """True if each architecture has an artifact of its own."""
    return "{arch}" in source or "{machine}" in source


def read_source(source: str, version: str) -> Place:
    """Read the place of this version's artifact, for amd64 where no architecture is filled in. Raises NotASource."""
    text = fill_in_arch(fill_in_version(source, version), "amd64")
    if not text.strip() or "\0" in text:
        raise NotASource("is empty or contains a NUL", f"write {KINDS}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return LocalFile(text)
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name in ("https", "http"):
        return WebAddress(text)
    if name == "github":
        return _read_github(rest, version)
    if name == "s3":
        return _read_bucket(rest)
    if name == "oci":
        return _read_registry(rest)
    raise NotASource(f"{name}: is not a kind of source", f"use {KINDS} (a path with a colon: write ./ before it)")


def _read_github(rest: str, version: str) -> GitHubAsset:
    found = _GITHUB.fullmatch(rest)
    if found is None:
        raise NotASource(
            "does not name a repository on GitHub",
            "write github:owner/repo, and where needed the asset and the tag: "
            "github:owner/repo/my_app-{version}.tar.gz@v{version}",
        )
    owner, repository, asset, tag = found.groups()
    return GitHubAsset(owner, repository, asset or "", (tag,) if tag else (f"v{version}", version))


def _read_bucket(rest: str) -> BucketObject:
    found = _BUCKET.fullmatch(rest.removeprefix("//")) if rest.startswith("//") else None
    if found is None:
        raise NotASource("does not name an object in a bucket", "write s3://bucket/my_app-{version}.tar.gz")
    if any(part in ("", ".", "..") for part in found[2].split("/")):
        raise NotASource("has an empty part, . or .. in its key", "write the key as the bucket lists it")
    return BucketObject(found[1], found[2])


def _read_registry(rest: str) -> RegistryTag:
    found = _IMAGE.fullmatch(rest.removeprefix("//")) if rest.startswith("//") else None
    if found is None or ".." in found[1] or not re.search(r"[.:]|^localhost$", found[1]):
        raise NotASource(
            "does not name an artifact in a registry", "write oci://ghcr.io/owner/my_app:{version}, in lower case"
        )
    registry, repository, tag = found.groups()
    if tag is None:
        raise NotASource("names no tag", "write oci://ghcr.io/owner/my_app:{version}")
    if not _OCI_TAG.fullmatch(tag):
        raise NotASource(
            "names a tag that no registry accepts",
            "a tag may contain only letters, digits and . _ -; choose a version without + and ~",
        )
    return RegistryTag(registry, repository, tag)
