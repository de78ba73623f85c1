"""An environment, as people write it: what differs from apps/ and fleet.yaml in another place, such as staging."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from reconciler.model import values
from reconciler.model.app import App
from reconciler.model.desired import Fleet
from reconciler.model.fields import MayBeEmpty, Text

PRODUCTION: Final = "production"  # what apps/ and fleet.yaml say by themselves
ENVIRONMENT_NAME = Text(
    r"[a-z][a-z0-9_-]*", "cannot name an environment", "use a-z, 0-9, _ and -, a letter first", longest=40
)


def owner_in(environment: str, owner: str) -> str:
    """The owner of an environment that names none. No `owner:` can be written with a dot, so it is nobody else's."""
    return f"{owner}.{environment}" if environment else owner


class _KeysOfApp:
    """A block with any of the keys of an app. Its values are checked once they are laid over those of the app."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        App.model_rebuild()  # it may not have been built yet
        described = handler(App.__pydantic_core_schema__)
        handler.resolve_ref_schema(described).pop("required", None)
        return described


KeysOfApp = Annotated[dict[str, Any], _KeysOfApp(), MayBeEmpty(dict)]


class Environment(Fleet):
    """Another place for the same apps. Its hosts, Traefik and channels take the place of those in fleet.yaml."""

    owner: values.Name | None = Field(
        default=None,
        description="Name of this environment on its hosts. Default: that of production, a dot and its own name.",
    )
    apps: Annotated[dict[values.AppName, KeysOfApp], MayBeEmpty(dict)] = Field(
        default_factory=dict,
        description="The apps that run there, by the names of their files, with what differs. No other app does.",
    )
