"""PROXY header of an origin: whom it names, and whether it was read, by what the origin said to it."""

from copy import replace

import pytest
from support.tunnel import PREAMBLE

from towonel.agent.core.proxy_header import SOON_S, encode_proxy_header, is_unread
from towonel.wire import proxy
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.proxy import ProxyHeader


def alert(description: int) -> bytes:
    return bytes([0x15, 3, 3, 0, 2, 2, description])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", True),
        (b"HTTP/1.1 400 Bad Request"[:7], True),
        (alert(10), True),  # unexpected_message
        (alert(70), True),  # protocol_version
        (alert(70)[:5], True),
        (alert(40), False),  # handshake_failure: it read a ClientHello
        (alert(112), False),  # unrecognized_name
        (bytes([0x16, 3, 3, 0, 122, 2, 0]), False),
    ],
)
def test_only_what_follows_a_client_hello_was_read(answer: bytes, expected: bool) -> None:
    assert is_unread(ServiceKind.HTTPS, answer, 0.1) is expected


def test_an_origin_that_ends_later_has_another_reason() -> None:
    for kind in (ServiceKind.HTTPS, ServiceKind.TCP):
        assert is_unread(kind, b"", SOON_S)
        assert not is_unread(kind, b"", SOON_S + 0.1)


@pytest.mark.parametrize("answer", [b"SSH-2.0", b"HTTP/1.", alert(10)])
def test_an_origin_of_tcp_that_says_something_is_not_known_to_have_missed_it(answer: bytes) -> None:
    assert not is_unread(ServiceKind.TCP, answer, 0.1)


@pytest.mark.parametrize(
    ("authority", "tlvs"), [(Hostname("a.eu"), ((proxy.TLV_AUTHORITY, b"a.eu"),)), (None, ())]
)
def test_a_header_names_the_client_and_what_it_asked_for(
    authority: Hostname | None, tlvs: tuple[tuple[int, bytes], ...]
) -> None:
    preamble = replace(PREAMBLE, authority=authority)

    data = encode_proxy_header(preamble)

    expected = ProxyHeader(preamble.source, preamble.destination, tlvs)
    assert proxy.read(data + b"more") == (expected, len(data))
