"""The nouns, frozen and strict: values, and the rules that one value can check by itself. No files, hosts or clocks.

`desired.py` has the desired state: its apps are in `app.py`, the keys that they share with `defaults` in `defaults.py`,
its machines in `machine.py`, its single values in `values.py`, the kinds of values in `fields.py`, the reserved names
in `reserved.py`. `calendar.py` reads systemd's calendar forms. Import the modules, not this package: a command that
needs no models must not pay for pydantic.
"""
