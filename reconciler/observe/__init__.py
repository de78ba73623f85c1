"""Hosts → Observed: the look, what Traefik and the apps answer, who holds the lease."""
