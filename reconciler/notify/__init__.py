"""Telling people and programs about a change of state, once: who is told, what is news, in which words.

`settings` is what people write; `problems`, `states`, `transitions` and `formats` are pure; only `send` touches the
network and only `notifier` remembers. What an app prints, and the value of any secret, never gets in here.
"""
