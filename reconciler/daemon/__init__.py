"""The services of a long-running controller: HTTP endpoints, the webhook, metrics, notifications to systemd."""
