"""The command line: options, commands and exit codes. Heavy imports wait until a command needs them.

EPILOG lists the exit codes.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.commands.arguments import OWN, PAGE_ACCESS, SECRETS
from reconciler.errors import ReconcileError, Unexpected, UsageError
from reconciler.logs import show_details
from reconciler.model.options import Options
from reconciler.model.shard import Shard

DESCRIPTION = """From a commit to a converged server: tarball releases, slots under systemd, Traefik routes, over SSH.

Without a command: watch, and converge on every commit and on drift, until stopped.
With --once: one pass, then exit."""

EPILOG = """exit codes: 0 converged (plan: nothing to do), 1 not converged, 2 usage or invalid desired state,
3 plan with something to do"""

COMMANDS = {
    "plan": "what a pass would do and why; changes nothing",
    "status": "per app and host: git wants X, host runs Y since T, because Z",
    "ui": "serve the page: the fleet in a browser, looking at an interval; changes nothing",
    "validate": "check the desired state; contacts no host",
    "init": "write the file of a new app, with free ports",
    "set": "write a new version of an app into its YAML file, or that of an environment",
    "show": "an app's keys on its hosts, and where each value is written",
    "logs": "show the journal of an app",
    "jobs": "when each job runs next, and how its last run ended",
    "run": "run a job of an app now: its output, and its exit code",
    "history": "who changed an app, from which commit, why, how long it took and how it ended",
    "rollback": "show the commit that takes an app back; --now goes back at once and holds it there",
    "console": "IEx in the node of an app's live slot",
    "rpc": "evaluate an Elixir expression in the node of an app's live slot",
    "exec": "run a command with the release and env of an app's live slot",
    "retry": "forget an app's failures, and try it again at once",
    "suspend": "change nothing about an app for a while",
    "resume": "end a suspension",
    "secrets": "set, edit, rekey or check the encrypted secrets of the desired state",
    "dashboard": "open Traefik's dashboard of a host on a port of this machine",
    "adopt": "take over a unit and a route that were written by hand for an app",
    "bootstrap": "turn a bare server into a host: deploy user, its few rights, folders; shows a plan first",
    "doctor": "check a host, and say for each problem what to do; changes nothing",
    "demo": "a whole rollout on this machine, without root, systemd or a server",
    "schema": "print the JSON Schemas for editors",
    "completion": "print the script that completes commands, options, apps, hosts and jobs in a shell",
}


def read_options(argv: Sequence[str] | None = None) -> Options:
    """Read the options from `argv` (default: sys.argv). For a wrong one, print the problem and exit with 2."""
    return Options.read(vars(parser().parse_args(argv)))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. Common options are accepted before and after the command."""
    top = parser_of(None)
    commands = top.add_subparsers(title="commands", metavar="", dest="command", parser_class=_CommandParser)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, description=text).command = name
    return top


class _CommandParser(argparse.ArgumentParser):
    """The parser of one command. It gets its options when it is used: a call uses one of two dozen, if any."""

    command = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        name, self.command = self.command, ""
        if name:
            _add_common_options(self)
            _add_own_options(name, self)
        return super().parse_known_args(args, namespace)


def parser_of(name: str | None) -> argparse.ArgumentParser:
    """The parser of what a command takes; None: of what stands before any command."""
    if name is not None:
        command = argparse.ArgumentParser(name)
        _add_common_options(command)
        _add_own_options(name, command)
        return command
    top = argparse.ArgumentParser(
        prog="reconcile",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", dest="show_version", action="store_true", default=False, help="print the version of reconcile"
    )
    top.add_argument("--once", action="store_true", default=argparse.SUPPRESS, help="one pass, then exit")
    top.add_argument(
        "--interval", type=int, metavar="SECONDS", default=argparse.SUPPRESS,
        help="watch: look again after this long without a change (60)",
    )  # fmt: skip
    top.add_argument(
        "--metrics-file", type=Path, metavar="FILE", default=argparse.SUPPRESS,
        help="write Prometheus metrics there after each pass, for node_exporter",
    )  # fmt: skip
    top.add_argument(
        "--listen", metavar="ADDR:PORT", default=argparse.SUPPRESS,
        help="watch: serve the page, /metrics, /healthz, /readyz, and /webhook with a secret",
    )  # fmt: skip
    for names, more in PAGE_ACCESS:
        top.add_argument(*names, **more)
    top.add_argument(
        "--webhook-secret-file", type=Path, metavar="FILE", default=argparse.SUPPRESS,
        help="watch: a POST to /webhook signed with this secret wakes the loop",
    )  # fmt: skip
    _add_common_options(top)
    return top


def _shard(text: str) -> Shard:
    try:
        return Shard.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_common_options(to: argparse.ArgumentParser) -> None:
    group = to.add_argument_group("what and where")
    none = argparse.SUPPRESS
    group.add_argument("--desired-state", type=Path, metavar="DIR", default=none, help="folder (desired-state)")
    group.add_argument("--ref", metavar="REF", default=none, help="the commit to use (HEAD)")
    group.add_argument(
        "--repo", metavar="URL", default=none, help="follow a remote repository instead of a local folder"
    )
    group.add_argument("--branch", metavar="B", default=none, help="with --repo: the branch (the remote's HEAD)")
    group.add_argument(
        "--environment", metavar="NAME", default=none, help="the environment in environments/NAME.yaml (production)"
    )
    group.add_argument(
        "--allowed-signers",
        type=Path,
        metavar="FILE",
        default=none,
        help="use only commits signed with a key on this list",
    )
    group.add_argument("--working-tree", action="store_true", default=none, help="use the files, committed or not")
    group.add_argument("--app", metavar="APP", action="append", default=none, help="only this app; can be repeated")
    group.add_argument("--host", metavar="HOST", action="append", default=none, help="only this host; can be repeated")
    group.add_argument(
        "--shard", metavar="N/M", type=_shard, default=none,
        help="only this part of the hosts, such as 1/4: several controllers share a fleet",
    )  # fmt: skip
    group.add_argument(
        "--wait-lock",
        type=int,
        metavar="SECONDS",
        default=none,
        help="how long to wait for a host that another controller holds (45)",
    )
    group.add_argument("--allow-prune", action="store_true", default=none, help="may remove over a third of the apps")
    group.add_argument(
        "--allow-step-back", action="store_true", default=none, help="follow a commit older than what was applied"
    )
    group.add_argument("--json", action="store_true", default=none, help="machine-readable result on stdout")
    group.add_argument("--verbose", action="store_true", default=none, help="show more details and full errors")
    group.add_argument(
        "--color", choices=["auto", "always", "never"], default=none,
        help="colours: on a terminal, unless NO_COLOR is set (auto)",
    )  # fmt: skip


def _add_own_options(name: str, command: argparse.ArgumentParser) -> None:
    for names, options in OWN.get(name, ()):
        command.add_argument(*names, **options)
    if name == "secrets":
        _add_secrets_verbs(command)


def _add_secrets_verbs(command: argparse.ArgumentParser) -> None:
    verbs = command.add_subparsers(title="what to do", metavar="VERB", dest="verb", required=True)
    for name, text in SECRETS.items():
        verb = verbs.add_parser(name, help=text, description=text)
        _add_common_options(verb)
        if name in ("set", "edit"):
            verb.add_argument("secret_name", metavar="NAME", help="such as my_app/secret_key_base")


def _refuse_shard_elsewhere(options: Options) -> None:
    """A command that would pass over the shard must not seem to keep to it."""
    looks = options.command in (None, "plan", "status", "ui") and not (options.from_ref or options.to_ref)
    if options.shard and not looks:
        raise UsageError("--shard is for a pass, a watch, and for plan, status and ui of hosts", "leave it out here")


def program() -> int:
    """Entry point of the process: run `main` and return its exit code."""
    # Almost every object that imports create stays alive. Collecting garbage among them takes a fifth of a short run.
    # A watch sets it back: in weeks, what is collected late adds up.
    gc.set_threshold(50_000, 5, 5)
    # pydantic would search every installed package for plugins. They would see all values, and we use none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        return main()
    except KeyboardInterrupt:  # before a command has begun
        return _print_stopped()
    finally:
        gc.freeze()


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code. Every error is printed as a message with its next step."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # under LANG=C, an arrow in a reason must not end a pass
    words = sys.argv[1:] if argv is None else argv
    if words[:2] == ["completion", "--line"]:  # at each Tab: before the parser, which takes longer than the answer
        from reconciler.commands.completion import print_candidates

        return print_candidates(" ".join(words[2:3]), COMMANDS, parser_of)
    options = read_options(argv)
    if options.show_version and options.command is None:
        return _print_version()
    _set_output(options)
    name = options.command or ("once" if options.once else "watch")
    try:
        _refuse_shard_elsewhere(options)
        run = importlib.import_module(f"reconciler.commands.{name}").run
        return int(run(options))
    except ReconcileError as error:
        return _print_error(error, options)
    except KeyboardInterrupt:
        return _print_stopped()
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        return _print_error(Unexpected(error), options)


def _print_stopped() -> int:
    print("stopped; the next pass continues from what it finds", file=sys.stderr)
    return 130


def _set_output(options: Options) -> None:
    if options.verbose:
        show_details()
    if options.color != "auto":
        from reconciler.terminal import choose_colour

        choose_colour(options.color)


def _print_error(error: ReconcileError, options: Options) -> int:
    if options.verbose:
        import traceback

        traceback.print_exception(error)
    if options.json:
        import json

        print(json.dumps({"outcome": "error", "error": str(error), "next": error.next_step}))
    from reconciler.colours import paint_message
    from reconciler.terminal import paint_for

    text = f"{error}\nnext: {error.next_step}" if error.next_step else str(error)
    print(paint_message(text, paint_for(sys.stderr)), file=sys.stderr)
    return error.exit_code


def _print_version() -> int:
    from importlib.metadata import version

    print(f"reconcile {version('reconcile-servers')}")
    return 0


if __name__ == "__main__":
    sys.exit(program())
