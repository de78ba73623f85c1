"""A value that lies in no repository as it is."""

from __future__ import annotations

from pydantic import Field

from reconciler.model import values
from reconciler.model.machine import Strict


class SecretRef(Strict):
    """A value that is looked up when it is needed; in git it lies encrypted, or not at all."""

    secret: values.SecretName = Field(description="Name of the secret, such as my_app/secret_key_base.")
