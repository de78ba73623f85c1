"""Carries out one action on its host, and waits until the host shows that it worked."""
