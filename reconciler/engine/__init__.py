"""The loop: converge, watch, preview, rollback, and what is reported of it."""
