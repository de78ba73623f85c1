"""Attacks on real hosts, by what they aim at; each file has its table of what is tried, by whom and what must hold."""
