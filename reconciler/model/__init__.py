"""The nouns: frozen and strict. Here belong values and the rules one value keeps by itself; no files, hosts or clocks.

`desired.py` is what people write, `fields.py` what a single value of it may be. Import the modules, not this package:
a command that needs no models must not pay for pydantic.
"""
