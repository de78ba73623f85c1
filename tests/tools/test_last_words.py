"""The log of a run that failed, as a journal on a busy host has it."""

from __future__ import annotations

import subprocess
from importlib.resources import files

from tests.support.failing_host import SHELL

BEFORE, FIRST, SECOND = "c" * 32, "a" * 32, "b" * 32
# Each line: when it was read, which unit and run it is of, and the text. What systemd says names its run elsewhere.
JOURNAL = f"""\
100 shop@4000.service said {BEFORE} Good-bye from the run before
101 shop@4000.service of {FIRST} Starting
103 shop@4000.service said LAST address already in use
103 shop@4000.service of {SECOND} Starting
"""
JOURNALCTL = """\
journalctl() (
  unit='' said='' of='' since=0 numbers=no
  for each; do
    case $each in
      _SYSTEMD_UNIT=*) unit=${each#*=} ;;
      _SYSTEMD_INVOCATION_ID=*) said="$said ${each#*=}" ;;
      INVOCATION_ID=*) of="$of ${each#*=}" ;;
      @*) since=${each#@} ;;
      short-unix) numbers=yes ;;
    esac
  done
  printf '%s' "$JOURNAL" | while read -r at name kind run text; do
    [ "$at" -ge "$since" ] || continue
    case $kind in
      said) [ "$name" = "$unit" ] && case "$said " in ' ' | *" $run "*) ;; *) false ;; esac ;;
      of) case "$of " in *" $run "*) ;; *) false ;; esac ;;
    esac || continue
    if [ $numbers = yes ]; then echo "$at $text"; else echo "$text"; fi
  done
)
part() { echo "$3"; }
"""


def log_of(said_in: str, *runs: str) -> str:
    folder = files("reconciler.tools") / "scripts"
    text = "".join((folder / name).read_text() for name in ("system.sh", "slots.sh")) + JOURNALCTL
    words = [SHELL, "-c", f'{text}\nprint_log "$@"', "sh", "shop@4000.service", "100", *runs]
    ended = subprocess.run(
        words,
        env={"JOURNAL": JOURNAL.replace("LAST", said_in), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


def test_the_log_is_what_the_runs_said_and_not_the_one_before() -> None:
    assert log_of(FIRST, FIRST, SECOND) == "address already in use\n"


def test_last_words_that_the_journal_notes_as_those_of_another_run_are_shown() -> None:
    """It read them late, when a run had begun that is neither the first nor the last one."""
    assert log_of("d" * 32, FIRST, SECOND) == "address already in use\n"
