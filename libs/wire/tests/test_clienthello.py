"""Parser of ClientHellos: real ones, split and cut in every way, and hostile ones."""

import contextlib
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import clienthello
from towonel.wire.clienthello import MAX_HELLO_BYTES, ClientHello, Incomplete
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
GREASE = (0x0A0A, b"")


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size) + data


def server_name(name: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, vector(2, bytes([kind]) + vector(2, name))


def handshake(*extensions: tuple[int, bytes], message: int = 1) -> bytes:
    """A ClientHello message with these extensions."""
    listed = b"".join(struct.pack(">H", kind) + vector(2, value) for kind, value in extensions)
    fixed = (
        b"\x03\x03" + bytes(32) + vector(1, bytes(32)) + vector(2, b"\x13\x01") + vector(1, b"\0")
    )
    return bytes([message]) + vector(3, fixed + vector(2, listed))


def records(data: bytes, *sizes: int) -> bytes:
    """TLS records with fragments of these sizes, and the rest in one."""
    out, at = b"", 0
    for size in (*sizes, len(data)):
        if fragment := data[at : at + size]:
            out += b"\x16\x03\x01" + vector(2, fragment)
        at += size
    return out


def real(hostname: str = NAME) -> bytes:
    """The first flight of Python's own TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    tls = context.wrap_bio(incoming, outgoing, server_hostname=hostname)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


GOOD = handshake(GREASE, server_name(NAME.encode()))
REAL = real()
POST_QUANTUM = handshake(server_name(NAME.encode()), (51, bytes(1216 + 700)))


def code_of(data: bytes) -> Code:
    with pytest.raises(ProtocolError) as caught:
        clienthello.read(data)
    return caught.value.code


def outcome(data: bytes) -> object:
    """What is read; of a hello that is not whole only that it is not."""
    try:
        found = clienthello.read(data)
    except ProtocolError as error:
        return error.code
    return Incomplete if isinstance(found, Incomplete) else found


def test_a_real_hello_is_read_with_its_name() -> None:
    assert clienthello.read(REAL) == ClientHello(NAME, protocols=(b"h2", b"http/1.1"))


def test_a_name_is_read_in_lower_case_and_bytes_after_the_hello_do_not_matter() -> None:
    found = clienthello.read(records(handshake(server_name(b"App.Example.EU"))) + b"early data")

    assert isinstance(found, ClientHello)
    assert found.server_name == NAME


def test_a_name_may_have_an_underscore() -> None:
    found = clienthello.read(records(handshake(server_name(b"my_app.example.eu"))))

    assert found == ClientHello(Hostname("my_app.example.eu"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (records(GOOD), True),
        (records(GOOD, 7, 1), True),
        (records(GOOD) + b"\x17\x03\x03\0\x01!", False),
        (records(GOOD) + b"\x16\x03\x03\0\x05!", False),
        (records(handshake(server_name(NAME.encode()), (42, b""))), False),
    ],
    ids=["one record", "three records", "and data", "and a part of a record", "early data"],
)
def test_only_a_hello_that_is_alone_may_happen_twice(data: bytes, expected: bool) -> None:
    found = clienthello.read(data)

    assert isinstance(found, ClientHello)
    assert clienthello.may_happen_twice(found, data) is expected


def test_with_encrypted_client_hello_the_outer_name_is_read() -> None:
    found = clienthello.read(records(handshake(server_name(NAME.encode()), (0xFE0D, b"sealed"))))

    assert found == ClientHello(NAME)


@pytest.mark.parametrize("size", [1, 4, 5, 50, 100, 1000])
@pytest.mark.parametrize("message", [GOOD, POST_QUANTUM], ids=["small", "post-quantum"])
def test_a_hello_may_be_split_over_records_of_any_size(message: bytes, size: int) -> None:
    count = min(len(message) // size, 2000)
    found = clienthello.read(records(message, *[size] * count))

    assert isinstance(found, ClientHello)
    assert found.server_name == NAME


def test_another_message_in_the_same_record_is_left_alone() -> None:
    assert isinstance(clienthello.read(records(GOOD + b"\x0b\0\0\0")), ClientHello)


@given(st.integers(0, len(GOOD)), st.integers(0, 255))
def test_a_hello_in_one_record_means_what_it_means_in_two(at: int, value: int) -> None:
    changed = GOOD[:at] + bytes([value]) + GOOD[at + 1 :]

    assert outcome(records(changed)) == outcome(records(changed, 4))


@given(st.data(), st.lists(st.integers(1, 700), max_size=6))
def test_a_hello_cut_anywhere_says_how_much_is_needed_and_never_too_much(
    data: st.DataObject, sizes: list[int]
) -> None:
    whole = records(POST_QUANTUM, *sizes)
    at, wakes = data.draw(st.integers(0, len(whole) - 1)), 0
    while at < len(whole):
        found = clienthello.read(whole[:at])
        assert isinstance(found, Incomplete)
        assert at < found.needed <= len(whole)
        at, wakes = found.needed, wakes + 1

    assert isinstance(clienthello.read(whole), ClientHello)
    assert wakes <= 2 * (len(sizes) + 1) + 2


def test_one_byte_records_cost_few_wakes_and_not_one_each() -> None:
    whole = records(POST_QUANTUM, *[1] * len(POST_QUANTUM))
    at, wakes = 0, 0
    while isinstance(found := clienthello.read(whole[:at]), Incomplete):
        at, wakes = found.needed, wakes + 1

    assert wakes < 80


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n", Code.NOT_TLS),
        (b"\x17", Code.NOT_TLS),
        (b"\x16\x02", Code.NOT_TLS),
        (b"\x80\x2e\x01\x03\x01", Code.NOT_TLS),
        (b"\x16\x03\x01\0\0", Code.BAD_HELLO),
        (b"\x16\x03\x01\x40\x01", Code.BAD_HELLO),
        (records(GOOD, 10)[:15] + b"\x15\x03\x01\0\x02", Code.BAD_HELLO),
        (records(GOOD, 10)[:15] + b"\x16\x02", Code.BAD_HELLO),
        (records(GOOD, 10)[:15] + b"\x16\x03\x01\0\0", Code.BAD_HELLO),
        (records(handshake(message=2)), Code.BAD_HELLO),
        (b"\x16\x03\x01\0\x04\x01\xff\xff\xff", Code.HELLO_TOO_LARGE),
        (records(handshake((0xFFFF, bytes(MAX_HELLO_BYTES))), 16_000), Code.HELLO_TOO_LARGE),
        (records(handshake()), Code.NO_SNI),
        (records(b"\x01" + vector(3, bytes(34) + b"\0" + vector(2, b"") + b"\0")), Code.NO_SNI),
        (records(handshake(GREASE, GREASE)), Code.BAD_HELLO),
        (records(b"\x01" + vector(3, bytes(10))), Code.BAD_HELLO),
        (records(b"\x01" + vector(3, GOOD[4:] + b"\0")), Code.BAD_HELLO),
        (records(b"\x01" + vector(3, handshake()[4:-2] + vector(2, b"\0\5\0"))), Code.BAD_HELLO),
        (records(b"\x01" + vector(3, handshake()[4:-2] + vector(2, b"\0\5\0\1"))), Code.BAD_HELLO),
        (records(handshake((0, b""))), Code.BAD_HELLO),
        (records(handshake(server_name(NAME.encode()), (16, b"\0\x09\x02h2"))), Code.BAD_HELLO),
        (records(handshake(server_name(NAME.encode()), (16, b"\0\x03\x09h2"))), Code.BAD_HELLO),
        (records(handshake(server_name(NAME.encode()), (16, b""))), Code.BAD_HELLO),
        (records(handshake((0, vector(2, b"\0\xff\xff")))), Code.BAD_HELLO),
        (records(handshake(server_name(NAME.encode(), kind=1))), Code.BAD_SNI),
        (records(handshake((0, server_name(b"a.eu")[1] + b"\0"))), Code.BAD_SNI),
        (records(handshake((0, vector(2, (b"\0" + vector(2, b"a.eu")) * 2)))), Code.BAD_SNI),
    ],
)
def test_broken_first_flights_are_refused_with_their_code(data: bytes, code: Code) -> None:
    assert code_of(data) is code


@pytest.mark.parametrize(
    "name",
    [
        b"", b"a" * 300, b"a\0.example.eu", b"a,b.example.eu", b"app.example.eu.",
        b"*.example.eu", b"tcp:x.example.eu", "\u00e9.eu".encode(), b"\xff.eu", b"localhost",
        b"../x.eu", b"a b.eu",
    ],
)  # fmt: skip
def test_names_that_are_no_hostname_are_refused(name: bytes) -> None:
    assert code_of(records(handshake(server_name(name)))) is Code.BAD_SNI


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_incomplete(data: bytes) -> None:
    for prefix in (b"", b"\x16\x03\x01", records(GOOD)[:60]):
        try:
            found = clienthello.read(prefix + data)
        except ProtocolError:
            continue
        assert not isinstance(found, Incomplete) or found.needed > len(prefix + data)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_a_real_hello_with_any_byte_changed_is_read_or_refused(at: int, value: int) -> None:
    changed = REAL[:at] + bytes([value]) + REAL[at + 1 :]
    try:
        found = clienthello.read(changed)
    except ProtocolError:
        return

    assert isinstance(found, ClientHello) or found.needed > len(changed)


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (Code.NO_ROUTE, 112), (Code.NO_SNI, 112), (Code.BAD_SNI, 112), (Code.NO_AGENT, 80),
        (Code.ORIGIN_REFUSED, 80), (Code.BAD_HELLO, 50), (Code.HELLO_TOO_LARGE, 50),
        (Code.CLIENT_NOT_ALLOWED, 49), (Code.TOO_MANY_CONNECTIONS, 80), (Code.RATE_LIMITED, 80),
    ],
)  # fmt: skip
def test_the_alert_says_what_is_wrong(code: Code, description: int) -> None:
    assert clienthello.alert(code) == bytes([21, 3, 3, 0, 2, 2, description])


def test_a_client_that_does_not_speak_tls_gets_no_alert() -> None:
    assert clienthello.alert(Code.NOT_TLS) == b""


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            b"GET / HTTP/1.1",
            "the first byte is 0x47, where TLS has 0x16: HTTP without TLS? Use https",
        ),
        (b"SSH-2.0-x", "the first byte is 0x53, where TLS has 0x16"),
        (b"\x16\x02", "a record of version 2, where TLS has 3"),
        (
            records(GOOD, 10)[:15] + b"\x15\x03\x01\0\x02",
            "the ClientHello goes on in a record of type 21, not 22",
        ),
    ],
)
def test_what_is_no_tls_is_told_by_what_came_instead(first: bytes, told: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        clienthello.read(first)

    assert caught.value.detail == told
