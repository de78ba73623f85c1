"""Where the desired state comes from: files or a commit, YAML text, and what is wrong with it.

`files.py` and `git.py` bring the bytes, `yaml_text.py` reads them with places, `problems.py` says what the
models refused, `rules.py` holds what must be true between files, `schema.py` prints the JSON Schemas. Only
`git.py` starts a program, and that program is git.
"""
