"""Environment variables as people write them: text, or the name of a secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from reconciler.model import values
from reconciler.model.fields import MayBeEmpty
from reconciler.model.secret import SecretRef


def _kind_of_env_value(value: object) -> str:
    return "SecretRef" if isinstance(value, (dict, SecretRef)) else "text"


EnvValue = Annotated[
    Annotated[values.EnvText, Tag("text")] | Annotated[SecretRef, Tag("SecretRef")],
    Discriminator(_kind_of_env_value),
]
Env = Annotated[dict[values.EnvKey, EnvValue], MayBeEmpty(dict)]
