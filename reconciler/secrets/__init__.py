"""From the name of a secret to its value: encrypted files of the desired state, then what this controller has.

`vault.py` knows the order, `sealed.py` age files and for whom they are, `sops.py` SOPS files, `identities.py` the
private keys of this controller, `command.py` its password store, `writing.py` and `editor.py` what `reconcile secrets`
changes, `audit.py` what it says of all of them. A value is in no error, no repr, no argument of a process and no log.
"""
