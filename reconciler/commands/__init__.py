"""One short module per command, with `run(options) -> exit code`. Imported only when the command is used."""
