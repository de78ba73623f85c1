"""An object in an S3 bucket, or one that speaks like it. Endpoint, region and credentials come from AWS_* variables.

What obstore says of an error holds the server's whole answer and our signature, so it is told in words of our own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final

from reconciler.artifact import download
from reconciler.artifact.cache import cache_errors
from reconciler.artifact.download import Progress, check_address
from reconciler.artifact.memory import remembered
from reconciler.artifact.spool import size_text
from reconciler.artifact.store import LARGEST_TEXT
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.model.source import BucketObject

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Store

_RETRIES: Final = 2
_SIGNED_SECONDS: Final = 900
_CHUNK: Final = 1024 * 1024
_METADATA: Final = "/latest/"  # where a cloud's machine asks for its credentials
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True)
class BucketStore:
    """One object, and those under the same prefix."""

    place: BucketObject
    label: str

    async def name(self) -> str:
        return self.place.key.rpartition("/")[2]

    async def stated(self) -> str | None:
        return None

    async def text(self, name: str) -> str | None:
        key = self.place.key.rpartition("/")[0]
        place = f"{key}/{name}" if key else name
        return await remembered(("s3", self._endpoint, self.place.bucket, place), lambda: self._text(place))

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        digest, done = hashlib.sha256(), 0
        async with self._opened(self.place.key, download.LONGEST_SECONDS) as result:
            total = result.meta["size"]
            if total > download.LARGEST_BYTES:
                raise self._too_large(download.LARGEST_BYTES)
            async for chunk in result.stream(min_chunk_size=_CHUNK):
                piece = bytes(chunk)
                done += len(piece)
                if done > download.LARGEST_BYTES:
                    raise self._too_large(download.LARGEST_BYTES)
                digest.update(piece)
                with cache_errors():
                    file.write(piece)
                progress(done, total)
        return digest.hexdigest()

    async def public_address(self) -> str | None:
        """One that we sign ourselves, without asking the server. An open bucket has an https:// address to write."""
        if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes", "on"):
            return None
        async with self._store(_SIGNED_SECONDS) as store:
            import obstore

            return str(await obstore.sign_async(store, "GET", self.place.key, timedelta(seconds=_SIGNED_SECONDS)))

    async def _text(self, key: str) -> str | None:
        try:
            async with self._opened(key, 60) as result:
                if result.meta["size"] > LARGEST_TEXT:
                    raise self._too_large(LARGEST_TEXT)
                return bytes(await result.bytes_async()).decode("utf-8", "replace")
        except ArtifactMissing:
            return None

    @asynccontextmanager
    async def _opened(self, key: str, seconds: float) -> AsyncIterator[GetResult]:
        async with self._store(seconds) as store:
            import obstore

            yield await obstore.get_async(store, key)

    @asynccontextmanager
    async def _store(self, seconds: float) -> AsyncIterator[S3Store]:
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError:
            raise ArtifactUnavailable(
                f"{self.label}: reading from S3 needs the package obstore", "pip install 'reconcile-servers[s3]'"
            ) from None
        endpoint = self._endpoint
        loopback = endpoint.startswith("http:")  # check_address lets no other one through
        try:
            async with asyncio.timeout(seconds):
                yield S3Store(
                    self.place.bucket,
                    config={"endpoint": endpoint} if endpoint else {},
                    client_options={"allow_http": loopback, "connect_timeout": "5s", "timeout": f"{seconds:g}s"},
                    retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=seconds)},
                )
        except TimeoutError:
            raise ArtifactUnavailable(f"{self.label} was not read within {seconds:g} s", "try again") from None
        except FileNotFoundError:
            raise ArtifactMissing(
                f"{self.label} is not there", "upload it, or correct artifact.source and AWS_ENDPOINT_URL"
            ) from None
        except (BaseError, ValueError) as error:
            raise self._unavailable(str(error)) from None

    @property
    def _endpoint(self) -> str:
        endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
        if endpoint:
            check_address(endpoint)
        return endpoint

    def _unavailable(self, said: str) -> ArtifactUnavailable:
        if _METADATA in said:
            return ArtifactUnavailable(
                f"{self.label}: no credentials for S3 are known",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
            )
        status = re.search(r"status code: (\d{3})", said)
        if status is None:
            return ArtifactUnavailable(f"{self.label} could not be read", "check AWS_ENDPOINT_URL and the network")
        step = "check the bucket, AWS_REGION and AWS_ENDPOINT_URL"
        if status[1] in ("401", "403"):  # also for what is not there, where listing is not allowed
            step = "check that it is there, and that these credentials may read it (s3:GetObject, s3:ListBucket)"
        return ArtifactUnavailable(f"{self.label}: S3 answers {status[1]}", step)

    def _too_large(self, largest: int) -> ArtifactRefused:
        return ArtifactRefused(f"{self.label} is larger than {size_text(largest)}", "leave out what is not needed")
