"""The loop: one pass (`converge`), the daemon (`watch`), the preview, fleet rollbacks, and their reports."""
