"""The certificate that Traefik presents for a domain that does not have its own yet.

It is generated here because a host may not have a tool for it. Only the host stores it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

YEARS = 10


def new_certificate() -> str:
    """Return a self-signed EC certificate and its key, in PEM.

    Without one, Traefik generates an RSA key pair whenever a route changes.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "default")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the host's clock may be behind
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    key_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return (certificate.public_bytes(serialization.Encoding.PEM) + key_text).decode()
