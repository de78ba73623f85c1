"""The values of single keys: the pattern of each, the message that refuses anything else, and how to write it."""

from __future__ import annotations

import shlex
from typing import Annotated

from pydantic import AfterValidator

from reconciler.model.fields import Text, Truth, Whole, quoted_excerpt, refuse
from reconciler.model.process_name import SEPARATOR
from reconciler.model.reserved import APP_NAME, other_app_name, why_app_name_is_taken, why_env_key_is_taken

# A path component has a character other than its leading dots, so it cannot be `.` or `..`.
_COMPONENT = r"\.{0,2}[A-Za-z0-9_+@-][A-Za-z0-9_.+@-]*"
LINE = r"[^\x00-\x1f\x7f\x85\u2028\u2029]"

VERSION = Text(
    r"[A-Za-z0-9](\.?[A-Za-z0-9_+~-])*",
    "cannot name a release",
    "start with a letter or digit; then letters, digits and . _ + ~ -, no two dots in a row, none at the end",
    longest=64,
)
Version = Annotated[str, VERSION]
Name = Annotated[
    str,
    Text(r"[A-Za-z0-9][A-Za-z0-9_-]*", "is not a name", "use letters, digits, _ and -", longest=63),
]
HostName = Annotated[
    str,
    Text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "is not a host name", "use letters, digits and . _ -", longest=63),
]
SECRET_NAME = Text(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*",
    "is not the name of a secret",
    "write it like my_app/secret_key_base",
    secret=True,
)
SecretName = Annotated[str, SECRET_NAME]
AbsolutePath = Annotated[
    str,
    Text(
        rf"(/{_COMPONENT})+",
        "is not a valid absolute path",
        "write it like /srv/apps: letters, digits and . _ + @ -, no .. and no slash at the end",
    ),
]
HostPath = Annotated[
    str,
    Text(
        rf"~?(/{_COMPONENT})+",
        "is not a valid absolute path",
        "write it like /srv/apps, in scope user also ~/apps: letters, digits and . _ + @ -, no .., no slash at the end",
    ),
]


def _check_quotes(command: str) -> str:
    """Refuse a quote that is not closed: the shell would refuse it on the host. What only a shell can tell passes."""
    if "$(" not in command and "`" not in command:
        try:
            shlex.split(command, comments=True)
        except ValueError:
            raise refuse("has a quote that is not closed", "close it, or put a \\ before it") from None
    return command


Command = Annotated[
    str,
    Text(
        rf"{LINE}*[^\s\x00-\x1f\x7f]{LINE}*",
        "is not a command",
        "write one line, with no control characters",
        longest=4096,
    ),
    AfterValidator(_check_quotes),
]
SHA256 = Text(
    "[0-9a-fA-F]{64}",
    "is not a sha256 digest",
    "write the 64 hex digits that `sha256sum` prints",
    longest=4096,
)
Sha256 = Annotated[str, SHA256, AfterValidator(str.lower)]
Memory = Annotated[
    str,
    Text(
        r"[1-9][0-9]{0,14}[KMGT]?|[1-9][0-9]?%|100%",
        "is not an amount of memory",
        "write it like 512M, 2G or 40%",
    ),
]
CpuShare = Annotated[
    str,
    Text(r"[1-9][0-9]{0,4}%", "is not a share of a CPU core", "write it like 50% of one core, or 200% for two"),
]
Capability = Annotated[
    str,
    Text(r"CAP_[A-Z][A-Z_0-9]*", "is not a capability", "write it like CAP_NET_BIND_SERVICE"),
]
Login = Annotated[
    str, Text(r"[A-Za-z_][A-Za-z0-9_.-]*", "is not a user name", "write it like root or deploy", longest=64)
]
Flag = Annotated[bool, Truth()]
PORTS_OF_CLIENTS = range(32768, 61000)  # Linux's default of net.ipv4.ip_local_port_range
Port = Annotated[
    int,
    Whole(
        1024,
        65535,
        "use one from 1024 to 65535; lower ones need rights that apps do not get (visitors come through Traefik)",
    ),
]


def _check_app_name(name: str) -> str:
    if SEPARATOR in name:
        raise refuse(f"{name} is a name that reconcile gives to a process of an app", "use a single -")
    if why := why_app_name_is_taken(name):
        raise refuse(f"{name} is {why}", f"call it {other_app_name(name)}, for example")
    return name


Batch = Annotated[
    str,
    Text(r"[1-9][0-9]{0,2}|100%|[1-9][0-9]?%", "is not a batch of hosts", "write a number, or a share such as 25%"),
]
AppName = Annotated[
    str,
    Text(
        APP_NAME,
        "cannot name an app",
        "use a-z, 0-9, _ and -, a letter first, at most 31 in all",
    ),
    AfterValidator(_check_app_name),
]

UNIT_OF_THE_SYSTEM = r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*\.(service|socket|target|mount)"


def _check_what_comes_before(name: str) -> str:
    if "." not in name and (why := why_app_name_is_taken(name)):
        raise refuse(f"{name} is {why}", f"name an app; for the unit write {name}.service")
    return name


AppOrUnit = Annotated[
    str,
    Text(
        rf"{APP_NAME}|{UNIT_OF_THE_SYSTEM}",
        "is neither an app nor a unit of systemd",
        "name an app of this desired state, or a unit such as postgresql.service",
    ),
    AfterValidator(_check_what_comes_before),
]


def _check_path(path: str) -> str:
    if "{{" in path or "#" in path:
        raise refuse(f"{quoted_excerpt(path)} is not a path on the app itself", "leave out {{ and #")
    return path


HealthPath = Annotated[
    str,
    Text(
        r"/([!-.0-~][!-~]*)?",
        "is not a path on the app itself",
        "write it like /ping: one slash first, no spaces, other characters as %XX",
        longest=2000,
    ),
    AfterValidator(_check_path),
]


def _check_env_key(key: str) -> str:
    if why := why_env_key_is_taken(key):
        raise refuse("cannot be set here", why)
    return key


def _check_env_size(value: str) -> str:
    # Linux refuses to start a program (E2BIG) if KEY=VALUE and its NUL exceed 131072 bytes.
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise refuse("contains half of a surrogate pair, which is not text", "write the whole character") from None
    if size > 131_000:
        raise refuse(f"is {size} bytes long (at most 131000)", "put it into a file of the release")
    return value


EnvKey = Annotated[
    str,
    Text(r"[A-Za-z_][A-Za-z0-9_]*", "is not the name of a variable", "use letters, digits and _, no digit first"),
    AfterValidator(_check_env_key),
]
_ENV_TEXT = Text(
    r"[^\x00]*",
    "contains a NUL character, which an environment variable cannot hold",
    "remove it",
    longest=131_000,
    secret=True,
)
EnvText = Annotated[str, _ENV_TEXT, AfterValidator(_check_env_size)]


def env_text(value: str) -> str:
    """Return the value if an environment variable can hold it. Raises PydanticCustomError, which never repeats it."""
    return _check_env_size(_ENV_TEXT.read(value))
