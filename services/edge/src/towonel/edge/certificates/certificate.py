"""Certificates for clients: a chain and its private key as PEM, checked before anybody is shown one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from towonel.wire.names import Hostname

MAX_PEM_BYTES: Final = 48 * 1024  # of chain and key: a message to a worker has 64 KiB


class CertificateError(ValueError):
    """Error of a certificate that cannot be used, with the reason."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Certificate for an exact name, with its chain and key.

    Args:
        name: that clients ask for.
        pem: its chain, its own certificate first, and then the key.
        not_before, not_after: its life.
        issuer: the authority, as a person reads it.
        is_exclusive: whether it is for this name and for nothing else.
        serial: its number, in hexadecimal.
    """

    name: Hostname
    pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    issuer: str
    is_exclusive: bool
    serial: str


def parse_certificate(name: Hostname, chain: bytes, key: bytes) -> Certificate:
    """Return the certificate of a name.

    Raises:
        CertificateError: it is too large, none for the name, or not that of the key.
    """
    if len(chain) + len(key) > MAX_PEM_BYTES:
        raise CertificateError(f"chain and key are too large: at most {MAX_PEM_BYTES} bytes")
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        private = load_pem_private_key(key, password=None)
        subjects = _find_subjects(leaf)
        is_its_key = _encode(private.public_key()) == _encode(leaf.public_key())
    except Exception as error:  # noqa: BLE001 of an unknown curve, an extension that is there twice, and so on
        raise CertificateError(f"is no PEM of a certificate and its key: {error}") from None
    names = [each.value for each in subjects if isinstance(each, x509.DNSName)]
    if not covers(names, name):
        raise CertificateError(f"is for {', '.join(names) or 'no name'}, not for {name}")
    if not is_its_key:
        raise CertificateError("the key is another certificate's")
    pem = chain.rstrip() + b"\n" + key
    times = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    is_exclusive = [each.lower() for each in names] == [name] and len(subjects) == 1
    serial = f"{leaf.serial_number:x}"
    return Certificate(name, pem, *times, _find_issuer(leaf), is_exclusive, serial)


def covers(names: Iterable[str], name: Hostname) -> bool:
    """Tell whether a certificate of some names is one for a name, which a wildcard may stand for."""
    wildcard = f"*.{name.partition('.')[2]}"
    return any(each.lower() in {name, wildcard} for each in names)


def _find_subjects(leaf: x509.Certificate) -> list[x509.GeneralName]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _find_issuer(leaf: x509.Certificate) -> str:
    """Return the common name of the authority, as `R11`, or else all that there is of its name."""
    names = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else leaf.issuer.rfc4514_string()


def _encode(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]  # of any kind
