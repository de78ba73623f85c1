"""One short module a command: `run(args) -> exit code`. Imported only when the command is used."""
