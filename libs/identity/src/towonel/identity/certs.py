"""Self-signed certificates of edges, which agents trust because the hub names them.

A certificate's key is the edge's own Ed25519 key, so the edge's id is the certificate's key.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from towonel.identity.keys import NodeKey
from towonel.wire.addresses import EDGE_SERVER_NAME
from towonel.wire.errors import Code, Denied

LIFETIME_DAYS = 3650
# Before any clock that is right. A certificate outlives the clock that it was made by: one that was ahead
# must not make agents wait until its time has come.
VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)


def create_certificate(key: NodeKey, now: datetime, server_name: str = EDGE_SERVER_NAME) -> str:
    """Return a PEM certificate for the server with this key, good from long ago for ten years from now.

    What makes agents trust it is that the hub names it, and not its age.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server_name)])
    serial = int.from_bytes(hashlib.sha256(key.public + now.isoformat().encode()).digest()[:16])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(serial >> 1 | 1)
        .not_valid_before(VALID_FROM)
        .not_valid_after(max(now, VALID_FROM) + timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key.private, None).public_bytes(Encoding.PEM).decode()


def encode_private_key(key: NodeKey) -> bytes:
    """Return the key in the form that TLS libraries load."""
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def extract_certificate(pem: str) -> str:
    """Return the first certificate in a text, without anything else in it.

    Raises:
        Denied: CERTIFICATE_MISMATCH if `pem` holds no certificate.
    """
    return _load(pem).public_bytes(Encoding.PEM).decode()


def certificate_sha256(pem: str) -> bytes:
    """Return the SHA-256 of the certificate in DER.

    Raises:
        Denied: CERTIFICATE_MISMATCH if `pem` holds no certificate.
    """
    return hashlib.sha256(_load(pem).public_bytes(Encoding.DER)).digest()


def certificate_public_key(pem: str) -> bytes:
    """Return the 32-byte Ed25519 key of a certificate, which is the id of its edge.

    Raises:
        Denied: CERTIFICATE_MISMATCH if its key is of another kind, or `pem` holds no certificate.
    """
    key = _load(pem).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise Denied(Code.CERTIFICATE_MISMATCH, "an edge's certificate has an Ed25519 key")
    return key.public_bytes_raw()


def not_before(pem: str) -> datetime:
    """Return when the certificate begins, in UTC.

    Raises:
        Denied: CERTIFICATE_MISMATCH if `pem` holds no certificate.
    """
    return _load(pem).not_valid_before_utc


def not_after(pem: str) -> datetime:
    """Return when the certificate ends, in UTC.

    Raises:
        Denied: CERTIFICATE_MISMATCH if `pem` holds no certificate.
    """
    return _load(pem).not_valid_after_utc


def _load(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise Denied(Code.CERTIFICATE_MISMATCH, "not a PEM certificate") from error
