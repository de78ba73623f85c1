"""A command that the host's shell would refuse is refused when it is loaded; what only a shell can judge passes."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from reconciler.model.values import Command

COMMAND: TypeAdapter[str] = TypeAdapter(Command)


@pytest.mark.parametrize(
    "text",
    ["sh -c 'echo $X 50%; exit 3'", "bin/a # it's fine", 'echo "$(echo "it\'s")"', "echo `echo it\\'s`", 'a "b\\"c"'],
)
def test_what_a_shell_takes_is_a_command(text: str) -> None:
    assert COMMAND.validate_python(text) == text


@pytest.mark.parametrize("text", ["bin/a 'x", 'bin/a "x', "bin/a \\", "it's"])
def test_a_quote_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="has a quote that is not closed"):
        COMMAND.validate_python(text)
