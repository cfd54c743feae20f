"""Edge certificates: TLS libraries accept them, and their key is the edge's id."""

import contextlib
import hashlib
import ssl
import tempfile
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import BasicConstraints, load_pem_x509_certificate

from towonel.identity.certs import (
    LIFETIME_DAYS,
    VALID_FROM,
    certificate_public_key,
    certificate_sha256,
    create_certificate,
    encode_private_key,
    extract_certificate,
    not_after,
    not_before,
)
from towonel.identity.keys import NodeKey
from towonel.wire.addresses import EDGE_SERVER_NAME
from towonel.wire.errors import Code, Denied

KEY = NodeKey.from_seed(b"\x2a" * 32)
START = datetime(2026, 11, 24, tzinfo=UTC)
PEM = create_certificate(KEY, START)


def test_a_certificate_carries_the_edges_key_and_is_signed_by_it() -> None:
    certificate = load_pem_x509_certificate(PEM.encode())
    certificate.verify_directly_issued_by(certificate)

    assert certificate_public_key(PEM) == KEY.public
    assert certificate.not_valid_before_utc == VALID_FROM
    assert not_after(PEM) == START + timedelta(days=LIFETIME_DAYS)
    assert certificate.serial_number > 0


@pytest.mark.parametrize("clock", [datetime(1970, 1, 1, tzinfo=UTC), START + timedelta(days=365)])
def test_one_that_is_made_by_a_wrong_clock_is_good_once_the_clock_is_right(clock: datetime) -> None:
    pem = create_certificate(KEY, clock)

    assert not_before(pem) < START < not_after(pem)


def test_its_hash_is_of_the_der_bytes() -> None:
    assert certificate_sha256(PEM) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(PEM)).digest()


@pytest.mark.parametrize(
    "around", ["\x00é\n{pem}", "{pem}{pem}", "{pem}-----BEGIN CERTIFICATE-----\n"]
)
def test_what_stands_around_a_certificate_is_no_part_of_it(around: str) -> None:
    assert extract_certificate(around.format(pem=PEM)) == PEM


def test_it_may_not_sign_others() -> None:
    certificate = load_pem_x509_certificate(PEM.encode())

    assert not certificate.extensions.get_extension_for_class(BasicConstraints).value.ca


def handshake(server_name: str, trusted: str) -> None:
    """A TLS handshake in memory with the certificate and key."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(server)
    client = ssl.create_default_context(cadata=trusted)
    bios = [ssl.MemoryBIO() for _ in range(4)]
    ends = [
        server.wrap_bio(bios[0], bios[1], server_side=True),
        client.wrap_bio(bios[2], bios[3], server_hostname=server_name),
    ]
    for _ in range(6):
        for end in reversed(ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            bios[0].write(bios[3].read())
            bios[2].write(bios[1].read())


def load_pair(context: ssl.SSLContext) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(PEM.encode() + encode_private_key(KEY))
        file.flush()
        context.load_cert_chain(file.name)


def test_only_a_client_that_trusts_this_very_certificate_completes_the_handshake() -> None:
    handshake(EDGE_SERVER_NAME, PEM)
    other = create_certificate(NodeKey.from_seed(bytes(32)), START)

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(EDGE_SERVER_NAME, other)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake("other.towonel.internal", PEM)


def test_the_key_is_written_in_a_form_that_is_read() -> None:
    key = load_pem_private_key(encode_private_key(KEY), None)

    assert key.public_key().public_bytes_raw() == KEY.public  # type: ignore[union-attr]


@pytest.mark.parametrize("pem", ["", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"])
def test_anything_but_a_certificate_is_refused(pem: str) -> None:
    for read in (certificate_sha256, certificate_public_key, not_before, not_after):
        with pytest.raises(Denied) as caught:
            read(pem)

        assert caught.value.code is Code.CERTIFICATE_MISMATCH


def test_a_certificate_with_a_key_of_another_kind_is_refused() -> None:
    elliptic = trustme.CA().cert_pem.bytes().decode()

    with pytest.raises(Denied, match="Ed25519"):
        certificate_public_key(elliptic)
