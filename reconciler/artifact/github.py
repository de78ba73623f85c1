"""An asset of a GitHub release, public or private: a few API requests, the last one for the asset itself.

The token is sent to the API only. GitHub redirects to the host that stores the bytes, which never gets the token.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from reconciler.artifact.download import (
    Answer,
    Progress,
    Question,
    ask,
    download,
    read_text,
    readable_address,
    redirect_of,
)
from reconciler.artifact.memory import KEEP_SECONDS, ask_or_recall
from reconciler.artifact.store import LARGEST_TEXT, choose
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.model.source import GitHubAsset
from reconciler.words import printable

_API: Final = "https://api.github.com"
_RELEASE_BYTES: Final = 16 * 1024 * 1024  # a release can have a thousand assets
# Without a token GitHub allows 60 requests an hour, and we send two each time while there is no release yet.
_ANONYMOUS_SECONDS: Final = 150.0
_TOKENS: Final = ("GITHUB_TOKEN", "GH_TOKEN")


class _Asset(BaseModel):
    id: int
    name: str
    state: str = "uploaded"
    digest: str | None = None


class _Release(BaseModel):
    tag_name: str
    assets: list[_Asset]


@dataclass(frozen=True)
class GitHubStore:
    """The asset of one release."""

    place: GitHubAsset
    label: str

    async def name(self) -> str:
        return (await self._choose_asset()).name

    async def published_digest(self) -> str | None:
        digest = re.fullmatch(r"sha256:([0-9a-f]{64})", (await self._choose_asset()).digest or "")
        return digest[1] if digest else None

    async def text(self, name: str) -> str | None:
        asset = next((asset for asset in await self._assets() if asset.name == name), None)
        if asset is None:
            return None
        question = self._question(f"/releases/assets/{asset.id}", "application/octet-stream")
        return await ask_or_recall(
            ("github", question.address, name), lambda: read_text(question, LARGEST_TEXT), self._keep_seconds
        )

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        asset = await self._choose_asset()
        question = self._question(f"/releases/assets/{asset.id}", "application/octet-stream")
        return await download(question, file, progress)

    async def public_address(self) -> str | None:
        """The address to which GitHub redirects. It is signed for a few minutes."""
        asset = await self._choose_asset()
        question = self._question(f"/releases/assets/{asset.id}", "application/octet-stream")
        return (await redirect_of(question))[1]

    async def _choose_asset(self) -> _Asset:
        assets = {asset.name: asset for asset in await self._assets()}
        release = await self._release()
        way_out = f"name it as in github:{self._repository}/my_app-{{version}}-*.tar.gz (* stands for any text)"
        where = f"{self.label}: release {printable(release.tag_name, 100)}"
        return assets[choose(list(assets), self.place.asset, where, way_out)]

    async def _assets(self) -> list[_Asset]:
        # GitHub lists an asset before its upload is complete, when it cannot be read yet.
        return [asset for asset in (await self._release()).assets if asset.state == "uploaded"]

    async def _release(self) -> _Release:
        key = ("github", self._api, self._repository, *self.place.tags)
        release = await ask_or_recall(key, self._find_release, self._keep_seconds)
        if release is None:
            tags = " or ".join(self.place.tags)
            raise ArtifactMissing(
                f"{self.label}: there is no release {tags}",
                "publish it (a draft does not count), or name its tag: …@TAG",
            )
        return release

    async def _find_release(self) -> _Release | None:
        for tag in self.place.tags:
            question = self._question(f"/releases/tags/{quote(tag, safe='')}", "application/vnd.github+json")
            answer = await ask(question, _RELEASE_BYTES)
            if answer.status == 200:
                return self._read(answer)
            if answer.status != 404:
                raise self._refusal(answer)
        question = self._question("", "application/vnd.github+json")
        answer = await ask_or_recall(("github", question.address), lambda: ask(question, _RELEASE_BYTES), 3600)
        if answer.status != 200:
            raise self._refusal(answer)
        return None

    def _read(self, answer: Answer) -> _Release:
        try:
            return _Release.model_validate_json(answer.body)
        except ValidationError:
            raise ArtifactUnavailable(
                f"{self.label}: the answer of {readable_address(self._api)} is not a release", "check GITHUB_API_URL"
            ) from None

    def _refusal(self, answer: Answer) -> ArtifactUnavailable:
        message = f"{self.label}: GitHub answers {answer.status}"
        if answer.headers.get("x-ratelimit-remaining") == "0":
            return ArtifactUnavailable(
                f"{self.label}: GitHub's rate limit is used up",
                "set GITHUB_TOKEN, or write artifact.sha256 (reconcile set does), which needs fewer requests",
            )
        if answer.status == 401:
            return ArtifactUnavailable(message, f"{_token()[0] or 'the token'} is not valid there: renew it")
        private = "give the token read access to its contents" if _token()[1] else "for a private one set GITHUB_TOKEN"
        return ArtifactUnavailable(message, f"check the name of the repository; {private}")

    def _question(self, path: str, accept: str) -> Question:
        token = _token()[1]
        address = f"{self._api}/repos/{self._repository}{path}"
        return Question(address, accept, f"Bearer {token}" if token else "")

    @property
    def _repository(self) -> str:
        return f"{self.place.owner}/{self.place.repository}"

    @property
    def _api(self) -> str:
        return (os.environ.get("GITHUB_API_URL") or _API).rstrip("/")

    @property
    def _keep_seconds(self) -> float:
        return KEEP_SECONDS if _token()[1] else _ANONYMOUS_SECONDS


def _token() -> tuple[str, str]:
    """Return the name of the variable that holds a token, and the token; both are empty without one."""
    for variable in _TOKENS:
        token = os.environ.get(variable, "").strip()
        if token and not re.fullmatch(r"[!-~]+", token):
            raise ArtifactRefused(f"{variable} does not contain a token", "set it to the token alone, on one line")
        if token:
            return variable, token
    return "", ""
