"""From an artifact to a release that is safe to unpack: where its bytes come from, and what they may contain.

    source.py     the expected digest, and the bytes that have it
    signed.py     the check that the right key signed them; minisign.py: the format of a signature
    store.py      the places that hold artifacts: a path, an address; github.py, bucket.py (S3), registry.py (OCI)
    download.py   HTTPS reads within limits; memory.py: answers reused for a minute
    archive.py    prepare(): checks the bytes and packs them again; a host unpacks what we packed (or, with
                  fetch: host, what we checked)
    spool.py      decompression within limits
    members.py    what an archive may contain, and why the rest is refused
    pack.py       the canonical archive, with its manifest and what its programs need
    migrations.py the database migrations that a release brings, by the names of its files
    cache.py      files under ~/.cache/reconcile, each complete or absent

Nothing here knows about hosts: `apply` unpacks a release there and checks its manifest.
"""
