"""The way in: how a script starts in an environment of its own, and how its output is found among other output.

sshd starts the login's shell, and that shell its start-up files, before anything of ours runs. They may print, set
variables, read stdin, or put another shell in their place; sudo and PAM add variables and warnings of their own. So a
script is started with nothing but the variables named here. It marks on both streams where its own output begins, and
exit statuses count as its own only after that mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.words import printable

PROGRAM = "/usr/local/sbin/reconcile-host"
ARGUMENT_REFUSED = 77
OF_OTHER_SCRIPTS = 78  # verbs/head.sh: the program was made from other scripts than ours
_REPLACED, _STDIN_EATEN = 93, 94
_NOT_STORED, _NOT_SENT = 95, 96

# The first line of stdin. The script that enters reads it, so it is missing if a start-up file read stdin before. A
# shell that a start-up file started instead reads stdin as commands: this one ends it before it sees the next line.
FIRST_LINE = b"exit %d\n" % _REPLACED
# Control characters, since a start-up file may well print the command line, as with `set -x`, but not these.
ENTERED = b"\036entered\036"
BEGUN = b"\036begun\036"  # tools/host_program.py has it too
LONGEST_BEFORE_BYTES = 2000  # kept of what was printed before a mark

# The system's own folders come first: a program of the same name in /usr/local would not be the one we know.
USUAL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

# A terminal is not marked, and no line is read from one.
_MARK = "for of in 1 2; do [ -t $of ] || printf '\\036{mark}\\036' >&$of; done\n"
# A start-up file may have limited the size of files, and what is sent may be larger.
_LIFT = "ulimit -f unlimited 2>/dev/null\n"
# Wait for the first line, whose absence tells that another program has read what was meant for us.
_AWAIT_LINE = f"""\
[ -t 0 ] || {{ IFS= read -r first && [ "$first" = 'exit {_REPLACED}' ]; }} || exit {_STDIN_EATEN}
"""
# A command that reads nothing does not wait: the line comes a round trip after the command.
_READ_NOTHING = "[ -t 0 ] || exec </dev/null\n"
# A stream that a start-up file closed is opened, or what is started next gets a file of its own in its place.
_ENTER = f"""\
true >&2 || exec 2>/dev/null
{_MARK.format(mark="entered")}{_LIFT}{_AWAIT_LINE}\
cd /
umask 022
path=${{RECONCILE_PATH:-{USUAL_PATH}}}
"""
_BEGIN = _MARK.format(mark="begun")
# Run a script whose shared texts are stored on the host, or come next on stdin: then they are stored. Arguments:
# digests and bytes on stdin (shared_text.py), what comes before these texts and what comes after, and the script's own.
# Only root stores them, and not on a machine that only plays a host: its PATH is another.
_LOAD = f"""\
loaded_from=/run/reconcile-scripts loaded=
{{ [ -w /run ] && [ "$PATH" = {USUAL_PATH} ]; }} || loaded_from=/dev/null
for loaded_part in $1; do
if [ "${{loaded_part#*:}}" != 0 ]; then
loaded_text=$(head -c "${{loaded_part#*:}}" | gzip -dc) || exit {_NOT_SENT}
loaded="$loaded$loaded_text
"
(umask 077 && mkdir -p "$loaded_from" && find "$loaded_from" -type f -mtime +0 -delete &&
printf '%s\\n' "$loaded_text" >"$loaded_from/.${{loaded_part%:*}}.$$" &&
mv -T "$loaded_from/.${{loaded_part%:*}}.$$" "$loaded_from/${{loaded_part%:*}}") 2>/dev/null
elif [ -r "$loaded_from/${{loaded_part%:*}}" ]; then
loaded="$loaded. $loaded_from/${{loaded_part%:*}}
"
else
exit {_NOT_STORED}
fi
done
loaded="$2
$loaded
$3"
shift 3
unset loaded_from loaded_part loaded_text
{_BEGIN}eval "$loaded"
"""

# Start the words in "$@" with these variables and no others. A host behind a proxy installs packages through it.
_CLEAN = """\
[ -t 0 ] || TERM=
set -- ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
${no_proxy:+"no_proxy=$no_proxy"} ${TERM:+"TERM=$TERM"} "$@"
exec /usr/bin/env -i "PATH=$path" LC_ALL=C "HOME=$HOME" "$@"
"""
# Behind sudo: PAM may have added to the variables what /etc/environment says.
_AS_ROOT = f"{_LIFT}cd /\numask 022\npath=$1\nshift\n{_CLEAN}"

_PLAIN = f"{_ENTER}{_CLEAN}"
_BY_SUDO = f"""\
{_ENTER}as_root=$1
shift
set -- sudo -n sh -c "$as_root" reconcile "$path" "$@"
{_CLEAN}"""
# A login other than root runs the host's own program, if there is one, by the verb of the script: sudo may not allow
# anything else. The shell line decides that on the host, so it costs no round trip and nothing has to be remembered.
_BY_VERB = f"""\
{_ENTER}as_root=$1 verb=$2 scripts=$3 before=$4 sent=$5
shift 5
if [ -x {PROGRAM} ]; then
  shift "$before"
  [ "$sent" = 0 ] || head -c "$sent" >/dev/null
  set -- sudo -n {PROGRAM} "$scripts" "$verb" "$@"
else
  set -- sudo -n sh -c "$as_root" reconcile "$path" "$@"
fi
{_CLEAN}"""


def without_stdin(words: list[str]) -> list[str]:
    """Return the same words for a command that reads nothing, and need not wait for its first line."""
    return [word.replace(_AWAIT_LINE, _READ_NOTHING) for word in words[:3]] + words[3:]


def entry_words(text: str, arguments: tuple[str, ...], *, sudo: bool, verb: tuple[str, str] | None) -> list[str]:
    """Return the words that enter a host and run the script there.

    With `sudo`, as root. With `verb`, a verb and the digest of its scripts, by the host's own program if it has one.
    """
    return _words(("sh", "-c", _BEGIN + text, "reconcile"), arguments, sudo, verb, 0)


def loading_words(
    first: str, shared: tuple[str, int], last: str, arguments: tuple[str, ...], *, sudo: bool, verb: tuple[str, str]
) -> list[str]:
    """Return the words that do the same with a script whose middle part the host has, or gets on stdin.

    `shared` is what `shared_text.names` returns.
    """
    return _words(("sh", "-c", _LOAD, "reconcile", shared[0], first, last), arguments, sudo, verb, shared[1])


def _words(
    script: tuple[str, ...], arguments: tuple[str, ...], sudo: bool, verb: tuple[str, str] | None, sent: int
) -> list[str]:
    if not sudo:
        return ["/bin/sh", "-c", _PLAIN, "reconcile", *script, *arguments]
    if verb is None:
        return ["/bin/sh", "-c", _BY_SUDO, "reconcile", _AS_ROOT, *script, *arguments]
    return ["/bin/sh", "-c", _BY_VERB, "reconcile", _AS_ROOT, *verb, str(len(script)), str(sent), *script, *arguments]


def shell_line(words: list[str]) -> str:
    """Return the words as one line for a login shell: sh, bash, zsh or fish.

    Fish reads a backslash between single quotes differently, so there is none. `exec` leaves no shell behind that could
    still print something at its end.
    """
    return "exec " + " ".join(_quote(word) for word in words)


def _quote(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:@+,-]+", word):
        return word
    escaped = {"\\": "\\\\", "'": "\\'"}
    pieces = re.findall(r"[\\']|[^\\']+", word)
    return "".join(escaped.get(piece) or f"'{piece}'" for piece in pieces) or "''"


@dataclass(frozen=True)
class Before:
    """What came before the script's own output: whether there was any of ours, and the end of stderr until then."""

    entered: bool
    begun: bool
    stderr: bytes

    def lacks_shared_texts(self, status: int) -> bool:
        """True if nothing was done, since the host does not have a text that it was not sent."""
        return self.entered and not self.begun and status == _NOT_STORED

    def why_not_begun(self, status: int) -> tuple[str, str] | None:
        """Return the error message and the next step if the script did not run; None if it did."""
        if self.begun:
            return None
        said = printable(self.stderr.decode(errors="replace").strip()[-300:])
        if not self.entered:
            return _why_not_entered(status, said)
        if status == _STDIN_EATEN:
            return (
                "a start-up file of its login reads stdin, which is meant for our commands",
                "in ~/.bashrc and the like of this login, run `cat`, `read` and similar only in interactive shells",
            )
        if status == _NOT_SENT:
            return f"it could not unpack what it was sent: {said or 'the end was missing'}", "see that it has gzip"
        if status in (ARGUMENT_REFUSED, OF_OTHER_SCRIPTS):
            return _why_refused_by_program(status, said)
        if "must have a tty" in said:  # the words of sudo in English: LC_ALL is ours
            return (
                f"sudo wants a terminal, which a program's login does not have: {said}",
                "take requiretty out of /etc/sudoers, or write `Defaults:USER !requiretty` for this login",
            )
        return (
            f"the user may not become root: {said or f'sudo ended with {status}'}",
            "run reconcile bootstrap with a login that may, or allow this one sudo without a password (NOPASSWD)",
        )


def _why_not_entered(status: int, said: str) -> tuple[str, str]:
    if status == _REPLACED:
        return (
            "a start-up file of its login puts another shell in place of the one that runs our commands",
            "in ~/.bashrc and the like of this login, write `exec` only for interactive shells",
        )
    return (
        f"its login runs no command of ours: it ended with {status}" + (f", and said: {said}" if said else ""),
        "see that `ssh HOST true` ends with 0, that no start-up file of the login (~/.bashrc) ends its shell, and that "
        "the shell is sh, bash, zsh or fish",
    )


def _why_refused_by_program(status: int, said: str) -> tuple[str, str]:
    reason = said.rpartition("reconcile-host: ")[2]
    if status == OF_OTHER_SCRIPTS:
        return (
            f"its {PROGRAM} belongs to another version of reconcile ({reason})",
            "renew it with this version: reconcile bootstrap, with a login that may become root",
        )
    return (
        f"its {PROGRAM} refuses this: {reason}",
        "log in as root, or see docs/security.md for what the deploy user may do",
    )
