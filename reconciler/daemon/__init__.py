"""What a long-running controller offers: HTTP endpoints, the webhook, metrics, systemd's notifications."""
