"""Files or a commit → Desired."""
