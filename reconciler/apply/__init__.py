"""One action → its host, and the waits that prove what it did."""
