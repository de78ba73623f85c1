"""Desired state and fleet → the targets: each app on each host, worked out in full, and connections to the hosts."""
