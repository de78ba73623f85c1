"""The certificate that Traefik shows for a name that has none of its own yet.

It is made here, since a host need not have what makes one, and kept by the host alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

YEARS = 10


def new_certificate() -> str:
    """A self-made EC certificate and its key, PEM. Without one Traefik makes an RSA pair at every change of a route."""
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
