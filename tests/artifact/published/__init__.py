"""Artifacts where people publish them: each place played by a small server on loopback."""
