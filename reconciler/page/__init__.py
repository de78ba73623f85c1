"""The page: what the engine saw, as HTML. PURE: a snapshot and a query in, bytes out.

It shows and changes nothing. It imports nothing that can reach a host, a secret or a key; whatever a snapshot says in
the words of a host, an app or a commit is escaped by jinja2 and made printable by `words`.
"""
