"""A reference to a value that is never stored in plain text in a repository."""

from __future__ import annotations

from pydantic import Field

from reconciler.model import values
from reconciler.model.machine import Strict


class SecretRef(Strict):
    """A value that is looked up when it is needed. In git it is stored encrypted or not at all."""

    secret: values.SecretName = Field(description="Name of the secret, such as my_app/secret_key_base.")
