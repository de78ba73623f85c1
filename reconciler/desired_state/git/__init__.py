"""Reading a commit: objects, history, signatures, remote branches."""
