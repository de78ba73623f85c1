"""The nouns: frozen and strict. Values, and the rules one value keeps by itself; no files, hosts or clocks.

`desired.py` is what people write: its machines in `machine.py`, its single values in `values.py`, the kinds
they are made of in `fields.py`, the names nobody may take in `reserved.py`. Import the modules, not this
package: a command that needs no models must not pay for pydantic.
"""
