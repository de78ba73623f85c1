"""Releases for tests: the real Elixir example, and a Python twin that starts in 50 ms.

Everything is made once and kept under `$XDG_CACHE_HOME/reconcile-test-releases/` by a digest of what went in;
the same input gives the same bytes. Behaviours are written into the release (`fail_boot=True`,
`die_after_seconds=2`, all of them in MyApplication.Settings); an environment variable of that name wins.
"""

from __future__ import annotations

import fcntl
import functools
import gzip
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ELIXIR_APP = REPOSITORY / "deploy" / "example" / "my_application"
PYTHON_APP = REPOSITORY / "reconciler" / "demo" / "app"
ELIXIR_PACKAGES = "apt-get install --no-install-recommends elixir"

Behaviour = str | bool | int | float
Members = list[tuple[tarfile.TarInfo, bytes]]

_MODIFIED = 1_700_000_000
_UNUSED_DAYS = 14
_BUILD_SECONDS = 300


def elixir_missing() -> str:
    """Why `build_release` cannot work on this machine, for `pytest.skip`; empty if it can."""
    missing = [program for program in ("mix", "erl") if shutil.which(program) is None]
    return f"{' and '.join(missing)} not found; {ELIXIR_PACKAGES}" if missing else ""


def build_release(version: str, **behaviour: Behaviour) -> Path:
    """The tarball of deploy/example/my_application as `mix release` makes it, at this version."""
    plain = _build_with_mix(version)
    if not behaviour:
        return plain
    lines = [
        f'[ -n "${{{name}+set}}" ] || export {name}={shlex.quote(value)}\n'
        for name, value in _settings(behaviour).items()
    ]

    def make(path: Path) -> None:
        members = read_members(plain)
        replace(members, f"releases/{version}/env.sh", lambda data: data + "".join(lines).encode())
        write_members(path, members)

    return cached(plain.name, make, plain.parent.name, *lines)


def python_release(version: str, **behaviour: Behaviour) -> Path:
    """A tarball with the same endpoints, for hosts with python3; `bin/hello start` starts it."""
    settings = "".join(f"{name}={value}\n" for name, value in _settings(behaviour).items())
    files = {
        "bin/hello": (0o755, (PYTHON_APP / "bin" / "hello").read_bytes()),
        "hello.py": (0o644, (PYTHON_APP / "hello.py").read_bytes()),
        "VERSION": (0o644, f"{version}\n".encode()),
    } | ({"behaviour": (0o644, settings.encode())} if settings else {})
    members = [member("bin", tarfile.DIRTYPE, mode=0o755)]
    members += [member(name, data=data, mode=mode) for name, (mode, data) in sorted(files.items())]
    parts = [part for info, data in members for part in (info.name, data)]
    return cached(f"hello-{version}.tar.gz", lambda path: write_members(path, members), *parts)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex, as in SHA256SUMS and `artifact.sha256`."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_members(path: Path) -> Members:
    """Every member of a tarball with its bytes."""
    with tarfile.open(path) as archive:
        return [(info, _content(archive, info)) for info in archive.getmembers()]


def write_members(path: Path, members: Members) -> None:
    """Writes a tarball; the same members give the same bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))


# --- tar members


def member(
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    data: bytes = b"",
    mode: int = 0o644,
    target: str = "",
    device: tuple[int, int] = (0, 0),
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.linkname = kind, len(data), mode, target
    info.mtime, info.uname, info.gname = _MODIFIED, "root", "root"
    info.devmajor, info.devminor = device
    return info, data


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info) if info.isreg() else None
    return file.read() if file else b""


def replace(members: Members, suffix: str, change: Callable[[bytes], bytes]) -> None:
    """Change the content of the one member whose name has this ending."""
    (index,) = [number for number, (info, _) in enumerate(members) if info.name.endswith(suffix)]
    info, data = members[index]
    members[index] = member(info.name, data=change(data), mode=info.mode)


def _settings(behaviour: dict[str, Behaviour]) -> dict[str, str]:
    texts = {
        name.upper(): str(int(value)) if isinstance(value, bool) else str(value) for name, value in behaviour.items()
    }
    if wrong := [name for name, text in texts.items() if "\n" in text]:
        raise ValueError(f"{wrong} must be one line each")
    return dict(sorted(texts.items()))


# --- the cache


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "reconcile-test-releases"


def cached(name: str, make: Callable[[Path], None], *parts: str | bytes) -> Path:
    """The cached file made from these parts; it is made now if it is missing. A half-made file never appears."""
    digest = hashlib.sha256()
    for part in (Path(__file__).read_bytes(), name, *parts):
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:%s" % (len(data), data))
    path = _cache() / digest.hexdigest()[:16] / name
    if not path.exists():
        with _locked(path.parent):
            if not path.exists():
                _write_whole(path, make)
    os.utime(path.parent)
    return path


def _write_whole(path: Path, make: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        make(Path(folder) / path.name)
        (Path(folder) / path.name).rename(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: tests may run in several processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- mix


def _build_with_mix(version: str) -> Path:
    folder = _cache() / f"elixir-{_sources_digest()}"
    path = folder / f"my_application-{version}.tar.gz"
    if not path.exists():
        with _locked(folder):
            if not path.exists():
                _write_whole(path, lambda path: _mix_release(version, folder, path))
        _forget_unused()
    os.utime(folder)
    return path


def _mix_release(version: str, folder: Path, path: Path) -> None:
    """Runs `mix release` in a copy of the sources and writes its tarball without times and random bytes."""
    build = folder / "build"
    shutil.copytree(ELIXIR_APP, build, ignore=shutil.ignore_patterns("_build", "deps", "test"), dirs_exist_ok=True)
    cookie = build / "_build" / "prod" / "rel" / "my_application" / "releases" / "COOKIE"
    cookie.parent.mkdir(parents=True, exist_ok=True)
    cookie.write_text("for-tests-only")  # mix would make a random one
    home = {"HOME": str(folder), "MIX_HOME": str(folder / "mix"), "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        ["mix", "release", "--overwrite", "--quiet"],
        cwd=build,
        env={**os.environ, **home, "MIX_ENV": "prod", "APP_VERSION": version},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    made = build / "_build" / "prod" / path.name
    if run.returncode != 0 or not made.exists():
        raise RuntimeError(f"mix release in {build} ended with {run.returncode}:\n{run.stdout.decode()[-4000:]}")
    members = sorted(read_members(made), key=lambda pair: pair[0].name)
    write_members(path, [member(info.name, data=data, mode=info.mode) for info, data in members])
    made.unlink()


@functools.cache
def _sources_digest() -> str:
    """A digest of what the build depends on: the sources, this file, and the mix and erl of this machine."""
    if reason := elixir_missing():
        raise RuntimeError(reason)
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted([ELIXIR_APP / "mix.exs", *ELIXIR_APP.glob("config/*"), *ELIXIR_APP.glob("lib/**/*.ex")]):
        digest.update(f"{path.relative_to(ELIXIR_APP)} {sha256(path)}\n".encode())
    for program in ("mix", "erl"):
        real = Path(shutil.which(program) or program).resolve()
        digest.update(f"{real} {real.stat().st_size} {real.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _forget_unused() -> None:
    """Remove what no test has used for two weeks."""
    oldest = time.time() - _UNUSED_DAYS * 86400
    for folder in _cache().iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
