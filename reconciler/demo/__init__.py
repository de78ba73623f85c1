"""A whole rollout on one machine, for a first look: real git, SSH, releases and Traefik, and a stand-in for systemd.

This package has what the demo starts and shows. Its passes run the same code as every other command.
"""
