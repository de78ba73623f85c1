"""From an artifact to a release that is safe to unpack: where its bytes come from, and what may be in them.

    source.py     which digest is wanted, and the bytes that have it
    signed.py     whether they are signed by whom they should be; minisign.py: what a signature is
    store.py      the places artifacts lie in: a path, an address; github.py, bucket.py (S3), registry.py (OCI)
    download.py   an address read over HTTPS, within limits; memory.py: not again within a minute
    archive.py    prepare(): the bytes are judged and packed again; a host unpacks what we packed (or, with
                  fetch: host, what we judged)
    spool.py      decompression within limits
    members.py    what an archive may hold, and why the rest is refused
    pack.py       the canonical archive, with its manifest and what its programs need
    cache.py      files of ours under ~/.cache/reconcile, each whole or absent

Nothing here knows a host: unpacking and checking the manifest there is for `apply`.
"""
