"""The arguments of each command besides the common options, in one table."""

from __future__ import annotations

from argparse import SUPPRESS
from pathlib import Path
from typing import Any

Argument = tuple[tuple[str, ...], dict[str, Any]]


def argument(*names: str, **options: Any) -> Argument:  # noqa: ANN401 - what add_argument takes
    return names, options


APP = argument("app_name", metavar="APP")
JOB = argument("--job", metavar="JOB", default="", help="one job of the app, instead of the app")
TARGET = argument("target", metavar="[user@]HOST[:port]", help="or a name from fleet.yaml")

PAGE_ACCESS = (
    argument(
        "--listen-token-file", type=Path, metavar="FILE", default=SUPPRESS,
        help="who has this token may see the page; needed on an address that other machines can reach",
    ),
    argument(
        "--listen-name", metavar="NAME", action="append", default=SUPPRESS,
        help="a name besides IP addresses and localhost under which the page is served; can be repeated",
    ),
)  # fmt: skip

OWN: dict[str, tuple[Argument, ...]] = {
    "plan": (
        argument(
            "--from",
            dest="from_ref",
            metavar="REF",
            default=None,
            help="plan what changed since this commit, as in a pull request; asks no host (HEAD)",
        ),
        argument(
            "--to",
            dest="to_ref",
            metavar="REF",
            default=None,
            help="plan what changed up to this commit; asks no host (the files on disk)",
        ),
        argument("--diff", action="store_true", help="show what differs in unit, route and env; never a value"),
        argument("--markdown", action="store_true", help="print it for a pull request"),
        argument(
            "--longest",
            type=int,
            metavar="BYTES",
            default=65_000,
            help="with --markdown: cut it there (65000: a comment on GitHub; GitLab takes 1000000)",
        ),
    ),
    "status": (
        argument("--watch", action="store_true", help="refresh until Ctrl-C"),
        argument("--html", type=Path, metavar="FILE", default=None, help="also write it as a page, in one HTML file"),
    ),
    "ui": (
        argument("--listen", metavar="ADDR:PORT", default=SUPPRESS, help="the address of the page (127.0.0.1:9466)"),
        *PAGE_ACCESS,
        argument("--interval", type=int, metavar="SECONDS", default=SUPPRESS, help="look again after this long (60)"),
    ),
    "init": (APP,),
    "set": (
        APP,
        argument("version", metavar="VERSION", nargs="?", default="", help="or --from"),
        argument(
            "--from",
            dest="from_environment",
            metavar="ENVIRONMENT",
            default="",
            help="the version that this environment declares, with its digest",
        ),
        argument("--sha256", metavar="HEX", default=None, help="digest of the artifact, if it cannot be fetched"),
    ),
    "show": (APP,),
    "logs": (
        APP,
        argument("--process", metavar="NAME", default="", help="those of this process of the app"),
        JOB,
        argument("--follow", action="store_true", help="print new lines until Ctrl-C"),
        argument("--lines", type=int, default=100, metavar="N", help="how many of the newest lines of each host (100)"),
    ),
    "jobs": (argument("app_name", metavar="APP", nargs="?", default="", help="only the jobs of this app"),),
    "run": (
        APP,
        argument("job", metavar="JOB"),
        argument("words", nargs="...", metavar="-- ARGUMENTS", help="for the command of the job, behind its own"),
    ),
    "history": (
        APP,
        argument("--diff", action="store_true", help="show what changed from one entry to the next, and the commits"),
    ),
    "rollback": (
        APP,
        argument("--now", action="store_true", help="go back at once, and hold until the next change in git"),
    ),
    "console": (APP,),
    "rpc": (APP, argument("expression", metavar="EXPRESSION", help="for example 'IO.inspect(Node.list())'")),
    "exec": (
        APP,
        argument(
            "--candidate", action="store_true", help="with the version and env that are wanted, not with what serves"
        ),
        argument("words", nargs="...", metavar="-- COMMAND", help="for example -- bin/hello eval 1+1"),
    ),
    "retry": (APP,),
    "suspend": (
        APP,
        JOB,
        argument("--reason", required=True, help="why; shown by status"),
        argument("--for", dest="duration", metavar="TIME", default=None, help="30m, 2h or 7d (until resumed)"),
    ),
    "resume": (APP, JOB),
    "adopt": (APP,),
    "dashboard": (
        argument("host_name", metavar="HOST"),
        argument("--port", type=int, default=0, metavar="PORT", help="the port on this machine (a free one)"),
    ),
    "bootstrap": (
        TARGET,
        argument("--yes", action="store_true", help="do not ask for confirmation; never accepts a host key"),
        argument("--dry-run", action="store_true", help="print the script that would run; change nothing"),
        argument("--name", metavar="NAME", default=None, help="name of the host in fleet.yaml (the address)"),
        argument(
            "--host-key", metavar="SHA256:…", default=None, help="the fingerprint that the provider's console shows"
        ),
        argument(
            "--key",
            type=Path,
            metavar="FILE",
            action="append",
            default=None,
            help="public key of a controller; can be repeated (those in ~/.ssh)",
        ),
        argument(
            "--swap", metavar="SIZE", default=None, help="create a swap file: 512M, 1G (1G if RAM is below 1.5 GB)"
        ),
    ),
    "doctor": (TARGET,),
    "completion": (argument("shell", choices=["bash", "zsh", "fish"], help="which script to print"),),
    "schema": (
        argument(
            "name", choices=["app", "fleet", "environment"], nargs="?", default="app", help="which one to print (app)"
        ),
        argument("--write", type=Path, metavar="DIR", default=None, help="write all into this folder"),
    ),
}

SECRETS = {
    "set": "encrypt a value read from stdin or a hidden prompt",
    "edit": "open a value in $EDITOR and encrypt the result",
    "rekey": "encrypt every age file again, for the recipients in secrets/recipients.txt",
    "check": "check that every secret in use can be read; show who can read it, what is stale or unused",
    "list": "show where each secret is and who can read it; needs no private key",
}
