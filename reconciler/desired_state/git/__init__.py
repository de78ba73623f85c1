"""Everything that asks git: objects of a commit, history, signatures, remote branches. Nothing here writes to one."""
