"""Challenge TLS-ALPN-01: the certificate that shows an authority who has a name.

Source: RFC 8737 §3.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier
_OCTET_STRING: Final = b"\x04\x20"  # of 32 bytes
_LIFE: Final = timedelta(days=7)


def make_challenge_certificate(name: str, key_authorization: str, now: datetime) -> bytes:
    """Return a certificate signed by its own key, with that key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(key_authorization.encode()).digest()
    identifier = x509.UnrecognizedExtension(IDENTIFIER, _OCTET_STRING + digest)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(identifier, critical=True)
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM) + encode_key(key)


def make_request(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the request for a certificate of a name as PEM."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder(x509.Name([])).add_extension(
        names, critical=False
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def encode_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
