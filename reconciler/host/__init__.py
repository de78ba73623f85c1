"""The only code that touches a machine. It carries text and bytes, and does not know what they mean."""
