"""A fleet of thousands of hosts, played by one process from what one real host answered.

record.py    runs reconcile against the real host, and writes down every command, request and answer
answers.py   the record, and which answer of it is due at a host now
server.py    one SSH server on every address of 127/8: each address is a host
measures.py  passes over such fleets, timed: the part of the bench
"""
