"""Mutation tests of `reconciler/decide`: small mistakes are planted, one at a time, and a test must notice each.

`mutants` plants them, `run` runs the tests of decide/ over each, `accepted.toml` names those that no test can notice
and says why, `result.json` is the last result. `python -m tests.mutation` does all of it.
"""
