"""The certificate of the demo's service: its own, self-signed, known to nobody but the visitor."""

import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=2)
CLOCK_SLACK = timedelta(hours=1)


def self_signed(hostname: str, now: datetime) -> tuple[bytes, bytes]:
    """Return certificate and private key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def der_of(pem: bytes) -> bytes:
    """Return a PEM certificate in the form that TLS sends."""
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as `openssl x509 -fingerprint` writes it."""
    return hashlib.sha256(der).digest().hex(":").upper()
