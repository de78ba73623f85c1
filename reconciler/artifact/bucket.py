"""An object in an S3 bucket, or one with the same API. Endpoint, region and credentials come from AWS_* variables.

An error of obstore contains the server's whole answer and our signature, so our messages never quote it.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final

from reconciler.artifact.download import Progress, Question, check_address, download, read_text, readable_address
from reconciler.artifact.memory import ask_or_recall
from reconciler.artifact.store import LARGEST_TEXT
from reconciler.errors import ArtifactError, ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.model.source import BucketObject

if TYPE_CHECKING:
    from obstore.store import S3Config

_RETRIES: Final = 2
_SIGNED_SECONDS: Final = 900
_SIGN_SECONDS: Final = 30  # may include a request for credentials
_METADATA: Final = "/latest/"  # the path where a cloud machine requests its credentials
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True)
class BucketStore:
    """One object, and the small files beside it."""

    place: BucketObject
    label: str

    async def name(self) -> str:
        return self.place.key.rpartition("/")[2]

    async def published_digest(self) -> str | None:
        return None

    async def text(self, name: str) -> str | None:
        key = self.place.key.rpartition("/")[0]
        place = f"{key}/{name}" if key else name
        return await ask_or_recall(("s3", self._endpoint, self.place.bucket, place), lambda: self._text(place))

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        address = await self._address(self.place.key)
        try:
            return await download(Question(address), file, progress)
        except ArtifactError as error:
            raise self._error_about_object(error, address) from None

    async def public_address(self) -> str | None:
        """Sign an address, without asking the server. None for a public bucket, which has an https:// address."""
        return None if _is_public() else await self._address(self.place.key)

    async def _text(self, key: str) -> str | None:
        address = await self._address(key)
        try:
            return await read_text(Question(address), LARGEST_TEXT)
        except ArtifactError as error:
            raise self._error_about_object(error, address) from None

    async def _address(self, key: str) -> str:
        """Return an address that gives the object for 15 minutes. It is a secret, except for a public bucket.

        obstore only signs. It could also download, but it reads an error response of any size into memory.
        """
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError:
            raise ArtifactUnavailable(
                f"{self.label}: reading from S3 needs the package obstore", "pip install 'reconcile-servers[s3]'"
            ) from None
        endpoint = self._endpoint
        config: S3Config = {"endpoint": endpoint} if endpoint else {}
        if unsigned := _is_public():  # obstore must sign: use placeholders, then drop the signature
            config |= {"skip_signature": False, "access_key_id": "-", "secret_access_key": "-"}
        loopback = endpoint.startswith("http:")  # check_address allows http: only for loopback
        try:
            async with asyncio.timeout(_SIGN_SECONDS):
                store = S3Store(
                    self.place.bucket,
                    config=config,
                    client_options={"allow_http": loopback, "connect_timeout": "5s", "timeout": f"{_SIGN_SECONDS}s"},
                    retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_SIGN_SECONDS)},
                )
                signed = await obstore.sign_async(store, "GET", key, timedelta(seconds=_SIGNED_SECONDS))
        except TimeoutError:
            raise ArtifactUnavailable(f"{self.label}: no credentials within {_SIGN_SECONDS} s", "try again") from None
        except (BaseError, ValueError) as error:
            raise self._signing_error(str(error)) from None
        return str(signed).partition("?")[0] if unsigned else str(signed)

    @property
    def _endpoint(self) -> str:
        endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
        if endpoint:
            check_address(endpoint)
        return endpoint

    def _signing_error(self, text: str) -> ArtifactUnavailable:
        if _METADATA in text:
            return ArtifactUnavailable(
                f"{self.label}: no S3 credentials are known",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
            )
        return ArtifactUnavailable(f"{self.label} could not be read", "check AWS_ENDPOINT_URL and the network")

    def _error_about_object(self, error: ArtifactError, address: str) -> ArtifactError:
        """Return the same error about the object instead of its address, with a next step for S3."""
        if isinstance(error, ArtifactMissing):
            next_step = "upload it, or correct artifact.source and AWS_ENDPOINT_URL"
            return ArtifactMissing(f"{self.label} is not there", next_step)
        message = str(error).replace(readable_address(address), self.label)
        if isinstance(error, ArtifactRefused):
            return ArtifactRefused(message, error.next_step)
        status = re.search(r" answers (\d{3})$", message)
        if status is None:
            return ArtifactUnavailable(message, "check AWS_ENDPOINT_URL and the network")
        step = "check the bucket, AWS_REGION and AWS_ENDPOINT_URL"
        if status[1] in ("401", "403"):  # S3 answers 403 for a missing object, too, when listing is not allowed
            step = "check that it exists, and that these credentials may read it (s3:GetObject, s3:ListBucket)"
        return ArtifactUnavailable(f"{self.label}: S3 answers {status[1]}", step)


def _is_public() -> bool:
    """True if the operator says that the bucket can be read without credentials."""
    return os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes", "on")
