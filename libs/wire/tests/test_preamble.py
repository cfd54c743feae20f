"""Codec of preambles: client and service, read from bytes cut anywhere."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import preamble, proxy
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.policy.challenge import TOKEN
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address, ProxyHeader

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SOURCE = Address(ip_address("203.0.113.7"), 54321)
DESTINATION = Address(ip_address("192.0.2.1"), 443)
WEB = Preamble(
    SOURCE,
    DESTINATION,
    ServiceKey(ServiceKind.HTTPS, "*.example.eu"),
    Hostname("app.example.eu"),
    TRACE,
)
PREAMBLES = st.builds(
    Preamble,
    st.just(SOURCE),
    st.just(DESTINATION),
    st.sampled_from(
        [WEB.service, ServiceKey(ServiceKind.TCP, "ssh"), ServiceKey(ServiceKind.UDP, "é")]
    ),
    st.none() | st.just(WEB.authority),
    st.none() | st.just(TRACE),
    st.none() | st.integers(0, 65_535),
    st.sampled_from([None, preamble.HTTP_1, preamble.HTTP_2]),
    st.none() | st.from_regex(TOKEN, fullmatch=True),
)


@pytest.mark.branches
@given(PREAMBLES)
def test_what_is_written_is_read_from_any_cut(value: Preamble) -> None:
    data = preamble.encode(value)

    assert preamble.read(data + b"client bytes") == (value, len(data))
    assert all(preamble.read(data[:cut]) is None for cut in range(len(data)))


def test_the_bytes_are_those_of_the_protocol() -> None:
    data = preamble.encode(Preamble(SOURCE, DESTINATION, ServiceKey(ServiceKind.TCP, "ssh")))

    assert data.hex() == (
        "0d0a0d0a000d0a515549540a21110013cb007107c0000201d43101bb" + "e00004" + "02" + b"ssh".hex()
    )


def test_the_port_that_a_client_used_is_at_the_end_of_the_names() -> None:
    game = Preamble(SOURCE, DESTINATION, ServiceKey(ServiceKind.UDP, "game"), port=27016)

    assert preamble.encode(game).endswith(b"\x03game\xe2\x00\x02\x69\x88")


def test_what_a_client_speaks_whose_tls_has_ended_is_at_the_end_of_the_names() -> None:
    web = WEB._replace(protocol=preamble.HTTP_2, traceparent=None)

    assert preamble.encode(web).endswith(b"\x01*.example.eu\xe3\x00\x02h2")


def test_a_protocol_that_is_not_known_here_is_none() -> None:
    found = preamble.read(header(SSH, (preamble.TLV_PROTOCOL, b"h9")))

    assert found is not None
    assert found[0].protocol is None


def header(*tlvs: tuple[int, bytes]) -> bytes:
    return proxy.encode(ProxyHeader(SOURCE, DESTINATION, tlvs))


SSH = (preamble.TLV_SERVICE, b"\x02ssh")


def test_unknown_tlvs_are_skipped() -> None:
    found = preamble.read(header((0xEF, b"new"), SSH, (0xEF, b"again")))

    assert found is not None
    assert found[0].service.name == "ssh"


@pytest.mark.parametrize(
    "data",
    [
        header(),
        header((preamble.TLV_SERVICE, b"")),
        header((preamble.TLV_SERVICE, b"\x09ssh")),
        header((preamble.TLV_SERVICE, b"\x02")),
        header((preamble.TLV_SERVICE, b"\x02\xff")),
        header((preamble.TLV_SERVICE, b"\x01tcp:x.example.eu")),
        header(SSH, SSH),
        header(SSH, (proxy.TLV_AUTHORITY, b"*.example.eu")),
        header(SSH, (proxy.TLV_AUTHORITY, "é.eu".encode())),
        header(SSH, (preamble.TLV_TRACEPARENT, b"00-12-34-01")),
        header(SSH, (preamble.TLV_PORT, b"\x01")),
        header(SSH, (preamble.TLV_PORT, b"\x01\x02\x03")),
        header(SSH, (preamble.TLV_CHALLENGE, b"")),
        header(SSH, (preamble.TLV_CHALLENGE, b"../admin")),
        header(SSH, (preamble.TLV_CHALLENGE, b"a b")),
        header(SSH, (preamble.TLV_CHALLENGE, b"a" * 129)),
        header(SSH, (preamble.TLV_CHALLENGE, "é".encode())),
        header(SSH, (0xEF, bytes(1024))),
        header(SSH, (0xEF, bytes(2048)))[: preamble.MAX_PREAMBLE_BYTES],
        b"GET / HTTP/1.1",
        header(SSH).replace(b"\x21\x11", b"\x20\x11"),  # LOCAL
        header(SSH).replace(b"\x21\x11", b"\x21\x00"),  # UNSPEC
    ],
)
def test_other_preambles_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        preamble.read(data)

    assert caught.value.code is Code.BAD_PREAMBLE


@given(st.binary(max_size=200).map(lambda data: header(SSH)[:28] + data))
def test_garbage_is_read_or_refused(data: bytes) -> None:
    try:
        preamble.read(data)
    except ProtocolError as error:
        assert error.code is Code.BAD_PREAMBLE
