"""A whole rollout on one machine, for a first look: real git, SSH, releases and Traefik, and a stand-in for systemd.

Here belongs what the demo starts and shows. What a pass does is not here: the demo runs the same code as every command.
"""
