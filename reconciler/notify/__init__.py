"""Notifies people and programs of each change of state, once: which places, which changes, in which words.

`problems`, `states`, `transitions`, `formats` and `github` are pure; only `send` uses the network, and only `notifier`
keeps state, in the file of `memory`. The settings are in `model/notify.py`. A notice never contains the output of an
app or the value of a secret.
"""
