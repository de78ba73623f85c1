"""Attacks on real hosts, grouped by target; each file has a table of the attempts, the attacker and what must hold."""
