"""The only code that touches a machine. It carries text and bytes and knows nothing of their meaning."""
