"""Observes hosts: the look, what Traefik and the apps answer, and which controller holds the lease."""
