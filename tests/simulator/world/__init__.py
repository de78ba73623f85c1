"""What a controller meets: hosts in folders, their systemd and Traefik, and the visitors."""
