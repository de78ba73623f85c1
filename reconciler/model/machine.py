"""The machines of a fleet and the folders on them: the nouns of `hosts:` in `fleet.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler.model import addresses, values
from reconciler.model.fields import EachOnce, MayBeEmpty, Whole, refuse
from reconciler.model.reserved import is_system_folder


class Strict(BaseModel):
    """Base of all models: frozen, with known keys only. Errors never repeat a refused value: it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


Scope = Literal["system", "user"]

# The folders for a login without root. `~` is the home of that user; the host resolves it.
BELOW_HOME = {
    "releases": "~/.local/share/reconcile",
    "env": "~/.config/reconcile",
    "units": "~/.config/systemd/user",
    "state": "~/.local/state/reconcile",
    "traefik": "~/.config/traefik/dynamic",
}


class Layout(Strict):
    """The folders on a host. Each is for one purpose only; Traefik reads every file in its own.

    In scope user the defaults are folders below the home.
    """

    releases: values.HostPath = Field(default="/srv", description="Apps: <here>/<app>/releases and <here>/<app>/slots.")
    env: values.HostPath = Field(default="/etc/reconcile", description="Env files of the slots, readable by root only.")
    units: values.HostPath = Field(default="/etc/systemd/system", description="systemd's unit files.")
    state: values.HostPath = Field(default="/var/lib/reconcile", description="Inventory, history, quarantine, lease.")
    traefik: values.HostPath = Field(
        default="/etc/traefik/dynamic", description="The folder that Traefik's file provider reads."
    )

    def at_home(self, home: str) -> Layout:
        """The same layout with `~` replaced by this home in every path."""
        paths = {key: home + path[1:] for key, path in self.model_dump().items() if path.startswith("~")}
        return self.model_copy(update=paths)

    @model_validator(mode="after")
    def _check_apart(self) -> Self:
        seen: dict[str, str] = {}
        for key in type(self).model_fields:
            path = getattr(self, key)
            if path in seen:
                raise refuse(f"{path} is also the folder for {seen[path]}", "give each its own", at=(key,))
            if path.startswith(self.traefik + "/"):
                message = f"{path} is inside {self.traefik}, where Traefik reads every file"
                raise refuse(message, "move it out", at=(key,))
            if is_system_folder(path, key):
                raise refuse(f"{path} is a folder of the system", "name a folder for this purpose only", at=(key,))
            seen[path] = key
        return self


class HostSpec(Strict):
    """One machine and how to reach it. ~/.ssh/config decides what is left out."""

    address: addresses.Address = Field(
        description="Name or IP address, a name from ~/.ssh/config, or local (no SSH, needs RECONCILE_ALLOW_LOCAL=yes)."
    )
    user: values.Login | None = Field(
        default=None, description="User to log in as: root or a user with sudo; in scope user, any user."
    )
    port: Annotated[int, Whole(1, 65535)] | None = Field(default=None, description="SSH port.")
    scope: Scope = Field(
        default="system",
        description="Which systemd runs the apps: the system's, or (user) the login user's own, which needs no root.",
    )
    rollouts_at_once: Annotated[int, Whole(1, 100)] | None = Field(
        default=None,
        description="How many apps may be starting a new version at the same time. Default: one a core, at most 4.",
    )
    host_key: addresses.HostKey | None = Field(
        default=None,
        description="The host's public key, `ssh-ed25519 AAAA...`; without it ~/.ssh/known_hosts decides.",
    )
    private_address: addresses.PrivateAddress | None = Field(
        default=None,
        description="IPv4 address that the other hosts use to reach this one privately; Erlang nodes connect there.",
    )
    groups: Annotated[tuple[addresses.GroupName, ...], EachOnce, MayBeEmpty(tuple)] = Field(
        default=(), description="Groups that the host is in. An app names all hosts of one as group:NAME."
    )
    paths: Annotated[Layout, MayBeEmpty(dict)] = Field(default_factory=Layout, description="Folders on the host.")

    @property
    def local(self) -> bool:
        """True for this machine itself, which is reached without SSH."""
        return self.address == "local"

    @property
    def machine(self) -> tuple[str, int]:
        """A key that is equal for two names of one machine, as far as we can know without ~/.ssh/config."""
        return self.address.lower(), self.port or 22

    @model_validator(mode="before")
    @classmethod
    def _fill_paths_below_home(cls, written: object) -> object:
        if isinstance(written, dict) and written.get("scope") == "user":
            paths = written.get("paths") or {}
            return written | {"paths": BELOW_HOME | paths} if isinstance(paths, dict) else written
        return written

    @model_validator(mode="after")
    def _check_scope(self) -> Self:
        if self.scope == "user":
            if self.user == "root":
                message = "root does not need scope user"
                raise refuse(message, "leave scope out, or log in as another user", at=("user",))
            return self
        for key, path in self.paths.model_dump().items():
            if path.startswith("~"):
                message = f"{path} is below a home directory"
                raise refuse(message, "write an absolute path, or scope: user", at=("paths", key))
        return self

    @model_validator(mode="after")
    def _check_local(self) -> Self:
        for key in ("user", "port", "host_key"):
            if self.local and getattr(self, key) is not None:
                message = "local is this machine, without a login"
                raise refuse(message, f"delete {key}, or write localhost", at=(key,))
        return self


def read_host(target: str) -> HostSpec:
    """The host named by `user@address:port`, by a name from ~/.ssh/config, or by `local`. Raises ValueError."""
    user, address, port = addresses.split_target(target)
    return HostSpec(address=address, user=user, port=port)
