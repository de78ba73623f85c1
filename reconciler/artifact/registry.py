"""An artifact in an OCI registry, as `oras push` stores it: a token if required, a manifest, one blob.

A login is sent to the registry, or to the token server that the registry names; a token to the registry only.
If another host stores the blobs, it gets neither.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import BinaryIO, Final
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, Field, ValidationError

from reconciler.artifact.download import (
    LARGEST_BYTES,
    Answer,
    Progress,
    Question,
    ask,
    check_address,
    download,
    readable_address,
    redirect_of,
)
from reconciler.artifact.logins import login_of
from reconciler.artifact.memory import ask_or_recall
from reconciler.artifact.store import LARGEST_TEXT, choose
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.model.source import RegistryTag

_ANSWER_BYTES: Final = 4 * 1024 * 1024
_LONGEST_TOKEN: Final = 16 * 1024
# Not inside a longer word, or the regex would try each letter of a 100 kB header as a start.
_CHALLENGE: Final = re.compile(r'(?<![a-z])([a-z]+)="([^"]*)"')
_TITLE: Final = "org.opencontainers.image.title"
_ACCEPT: Final = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_DOCKER_HUB: Final = "registry-1.docker.io"
_PUSH: Final = "push one archive: oras push REGISTRY/REPO:VERSION my_app.tar.gz"


class _Layer(BaseModel):
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)
    annotations: dict[str, str] | None = None

    @property
    def sha256(self) -> str:
        return self.digest.removeprefix("sha256:")

    @property
    def title(self) -> str:
        """The name of the file; "" if there is none, or if it cannot be an artifact's name."""
        title = (self.annotations or {}).get(_TITLE, "")
        return title if title.isprintable() and len(title) <= 255 else ""


class _Manifest(BaseModel):
    layers: list[_Layer] = []
    manifests: list[object] | None = None


@dataclass(frozen=True)
class _Found:
    """The manifest, and the Authorization for further requests."""

    manifest: _Manifest
    authorization: str = field(repr=False)


@dataclass(frozen=True)
class RegistryStore:
    """One tag of one repository."""

    place: RegistryTag
    label: str

    async def name(self) -> str:
        return (
            await self._choose_layer()
        ).title or f"{self.place.repository.rpartition('/')[2]}-{self.place.tag}.tar.gz"

    async def published_digest(self) -> str | None:
        return (await self._choose_layer()).sha256

    async def text(self, name: str) -> str | None:
        layer = next((layer for layer in (await self._find_manifest()).manifest.layers if layer.title == name), None)
        if layer is None:
            return None
        if layer.size > LARGEST_TEXT:
            raise ArtifactRefused(f"{self.label}: {name} is too large", "push the right file")
        question = await self._blob(layer)
        answer = await ask_or_recall((*self._key, layer.digest), lambda: ask(question, layer.size))
        if answer.status != 200:
            raise self._refusal(answer)
        return answer.text

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        layer = await self._choose_layer()
        return await download(await self._blob(layer), file, progress, min(layer.size, LARGEST_BYTES))

    async def public_address(self) -> str | None:
        """The address to which the registry redirects, or the blob's own address if it needs no login."""
        question = await self._blob(await self._choose_layer())
        status, elsewhere = await redirect_of(question)
        return elsewhere or (question.address if status == 200 and not question.authorization else None)

    async def _choose_layer(self) -> _Layer:
        layers = (await self._find_manifest()).manifest.layers
        if len(layers) == 1:
            return layers[0]
        titled = {layer.title: layer for layer in layers if layer.title}
        return titled[choose(list(titled), "", self.label, _PUSH)]

    async def _find_manifest(self) -> _Found:
        found = await ask_or_recall(self._key, self._ask_manifest)
        if found is None:
            raise ArtifactMissing(f"{self.label}: the registry has no such tag", "push it, or correct artifact.source")
        return found

    async def _ask_manifest(self) -> _Found | None:
        address = f"{self._base}/manifests/{self.place.tag}"
        authorization = ""
        answer = await ask(Question(address, _ACCEPT), _ANSWER_BYTES)
        if answer.status == 401 and not answer.redirected:  # only the registry itself may say where a login is sent
            authorization = await self._authorize(answer.headers.get("www-authenticate", ""))
            answer = await ask(Question(address, _ACCEPT, authorization), _ANSWER_BYTES)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._refusal(answer)
        return _Found(self._read(answer), authorization)

    def _read(self, answer: Answer) -> _Manifest:
        try:
            manifest = _Manifest.model_validate_json(answer.body)
        except ValidationError:
            raise ArtifactRefused(f"{self.label}: the registry's answer is not a manifest", _PUSH) from None
        if manifest.manifests is not None:
            raise ArtifactRefused(f"{self.label} is an index of several artifacts, not one archive", _PUSH)
        return manifest

    async def _authorize(self, challenge: str) -> str:
        """Return the Authorization that the registry requires: a login, or a token from its token server."""
        login = login_of(self._host if self._host != _DOCKER_HUB else "index.docker.io")
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic" and login:
            return login
        if scheme.lower() != "bearer" or "realm" not in parameters:
            raise ArtifactUnavailable(f"{self.label}: the registry requires a login", self._how_to_login)
        realm = parameters["realm"]
        check_address(realm)
        if self._base.startswith("https:") and not realm.lower().startswith("https:"):
            raise ArtifactRefused(
                f"{self.label}: the registry wants logins sent to {readable_address(realm)}", "use another registry"
            )
        query = {"scope": f"repository:{self.place.repository}:pull"}
        query |= {"service": parameters["service"]} if "service" in parameters else {}
        address = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
        answer = await ask(Question(address, authorization=login), _ANSWER_BYTES)
        if answer.status != 200:
            raise self._refusal(answer)
        try:
            reply = json.loads(answer.body)
            token = reply.get("token") or reply["access_token"]
        except (ValueError, LookupError, AttributeError, RecursionError):
            token = ""
        if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or not re.fullmatch(r"[!-~]+", token):
            raise ArtifactUnavailable(
                f"{self.label}: {readable_address(realm)} returned no token", "check the registry's address"
            )
        return f"Bearer {token}"

    async def _blob(self, layer: _Layer) -> Question:
        return Question(f"{self._base}/blobs/{layer.digest}", authorization=(await self._find_manifest()).authorization)

    def _refusal(self, answer: Answer) -> ArtifactUnavailable:
        step = self._how_to_login if answer.status in (401, 403) else "check the address of the registry"
        return ArtifactUnavailable(f"{self.label}: the registry answers {answer.status}", step)

    @property
    def _how_to_login(self) -> str:
        return f"docker login {self.place.registry}, or set DOCKER_AUTH_CONFIG (credential helpers are not used)"

    @property
    def _key(self) -> tuple[str, ...]:
        return ("oci", self._base, self.place.tag)

    @property
    def _host(self) -> str:
        return _DOCKER_HUB if self.place.registry == "docker.io" else self.place.registry

    @property
    def _base(self) -> str:
        loopback = re.match(r"(localhost|127\.[0-9.]+|\[::1\])(:|$)", self._host)
        return f"{'http' if loopback else 'https'}://{self._host}/v2/{self.place.repository}"
