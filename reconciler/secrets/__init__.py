"""From the name of a secret to its value: encrypted files of the desired state, then this controller's own stores.

    vault.py       the order in which the places are searched
    sealed.py      age files and their recipients
    sops.py        SOPS files; sops_tree.py: their leaves; sops_rule.py: which values are encrypted
    identities.py  the private keys of this controller
    command.py     its password store
    writing.py     the changes that `reconcile secrets` makes; editor.py: a value in $EDITOR
    audit.py       the report of `reconcile secrets check` and `list`

A value never appears in an error, a repr, an argument of a process or a log.
"""
