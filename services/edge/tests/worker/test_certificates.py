"""Contexts of certificates: what they offer, and which sessions are resumed."""

import contextlib
import ssl

import pytest
import trustme

from towonel.edge.worker.termination.certificates import Certificates
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")


def issue(authority: trustme.CA) -> bytes:
    issued = authority.issue_cert(NAME)
    return issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()


def connect(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """Shake hands in memory, and let the client read what comes after that."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    served = server.wrap_bio(there, back, server_side=True)
    made = client.wrap_bio(back, there, server_hostname=NAME, session=session)
    for end in (made, served) * 2:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        made.read(1)
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("gives_tickets", [False, True])
def test_tickets_are_given_where_one_worker_serves(
    authority: trustme.CA, version: ssl.TLSVersion, *, gives_tickets: bool
) -> None:
    certificates = Certificates(gives_tickets=gives_tickets)
    certificates.load(NAME, issue(authority))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    client.minimum_version = client.maximum_version = version
    context = certificates.find(NAME, http2=False)
    assert context is not None
    first = connect(context, client)
    assert first.session is not None

    assert first.session.has_ticket is gives_tickets
    if gives_tickets:
        assert connect(context, client, first.session).session_reused


def test_http_2_and_its_absence_have_contexts_of_their_own(authority: trustme.CA) -> None:
    certificates = Certificates(gives_tickets=True, max_contexts=1)
    certificates.load(NAME, issue(authority), is_exclusive=True)
    both = certificates.find(NAME, http2=True)

    assert certificates.find(NAME, http2=True) is both
    assert certificates.find(NAME, http2=False) is not both
    assert certificates.find(NAME, http2=True) is not both  # of which one is retained


def test_a_new_certificate_takes_the_place_of_all_that_was_made_of_the_one_before(
    authority: trustme.CA,
) -> None:
    certificates = Certificates(gives_tickets=True)
    certificates.load(NAME, issue(authority), is_exclusive=True)
    before = [certificates.find(NAME, http2=http2) for http2 in (False, True)]
    certificates.load(NAME, issue(authority))
    after = [certificates.find(NAME, http2=http2) for http2 in (False, True)]
    certificates.load(NAME, b"")

    assert len({*map(id, (*before, after[0]))}) == 3
    assert after[0] is after[1]  # it is for other names, too
    assert certificates.find(NAME, http2=True) is None
