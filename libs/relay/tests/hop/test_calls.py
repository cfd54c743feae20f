"""Calls that begin and end a connection: both forms do the same, and leave nothing behind."""

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import cast

import pytest
from support.descriptors import open_descriptors, use_up_descriptors
from support.hops import compiled

from towonel.relay.hop.choice import Hop, SocketName
from towonel.relay.sockets import NOTSENT_BYTES, accept, connect, end_on_close

FORMS = {"python": None, "compiled": cast("Hop", compiled)}
LISTENERS = {"ipv4": ("127.0.0.1",) * 2, "ipv6": ("::1",) * 2, "both": ("::", "127.0.0.1")}
NOBODY = ("127.0.0.1", 1)  # listens there


@pytest.fixture(params=FORMS)
def hop(request: pytest.FixtureRequest) -> Hop | None:
    return FORMS[request.param]


@pytest.fixture(params=LISTENERS)
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Where a listener is, and where it is reached."""
    return LISTENERS[request.param]


@pytest.fixture
def listener(where: tuple[str, str]) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if where[0] == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((where[0], 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


def name_at(listener: socket.socket, host: str) -> SocketName:
    port: int = listener.getsockname()[1]
    return (host, port, 0, 0) if ":" in host else (host, port)


def test_who_connects_is_accepted_by_name(
    hop: Hop | None, listener: socket.socket, where: tuple[str, str]
) -> None:
    ours = connect(name_at(listener, where[1]), hop)
    sock, peer = accept(listener, hop)

    name = sock.getpeername()
    assert peer == name
    assert name[1] == ours.getsockname()[1]
    assert sock.getsockname()[1] == listener.getsockname()[1]
    for each in (ours, sock):
        with pytest.raises(BlockingIOError):
            each.recv(1)
        assert not os.get_inheritable(each.fileno())
    ours.send(b"hello")
    assert sock.recv(10) == b"hello"
    for each in (ours, sock):
        each.close()


def test_a_socket_that_connects_has_what_one_needs_from_the_first_byte_on(
    hop: Hop | None, listener: socket.socket, where: tuple[str, str]
) -> None:
    ours = connect(name_at(listener, where[1]), hop)

    abort = ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", abort) == (1, 0)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_BYTES
    end_on_close(ours, hop)
    kept = ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", kept)[0] == 0
    ours.close()


@pytest.mark.parametrize("where", [LISTENERS["ipv4"]])
def test_nobody_waits_and_a_listener_that_is_none_are_errors(
    hop: Hop | None, listener: socket.socket
) -> None:
    with pytest.raises(BlockingIOError):
        accept(listener, hop)
    with socket.socket() as other:
        other.setblocking(False)
        with pytest.raises(OSError, match="Invalid argument"):
            accept(other, hop)


@pytest.mark.parametrize("where", [LISTENERS["ipv4"]])
def test_without_descriptors_both_calls_say_so_and_leave_none(
    hop: Hop | None, listener: socket.socket
) -> None:
    name, before = name_at(listener, "127.0.0.1"), open_descriptors()
    with use_up_descriptors():
        last = connect(name, hop)
        for call in (lambda: connect(name, hop), lambda: accept(listener, hop)):
            with pytest.raises(OSError, match="Too many open files") as why:
                call()
            assert why.value.errno == errno.EMFILE
    last.close()

    assert open_descriptors() == before
    accept(listener, hop)[0].close()


def test_an_address_that_the_kernel_refuses_is_an_error_and_no_descriptor_is_left(
    hop: Hop | None,
) -> None:
    before = open_descriptors()

    with pytest.raises(OSError, match=r"unreachable|denied") as why:
        connect(("255.255.255.255", 1), hop)

    assert why.value.errno in {errno.ENETUNREACH, errno.EACCES}
    assert open_descriptors() == before


def test_an_interface_in_an_address_is_looked_up(hop: Hop | None) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port: int = listener.getsockname()[1]
        with pytest.raises(OSError, match=r"unreachable|Invalid|Cannot assign|No such device"):
            connect(("fe80::1%lo", port, 0, 0), hop).send(b"!")


def test_the_scope_of_an_address_goes_to_the_kernel(hop: Hop | None) -> None:
    own = socket.if_nametoindex("lo")
    refused: list[int | None] = []
    for scope in (0, own):
        with pytest.raises(OSError, match=r"unreachable|Invalid|Cannot assign") as why:
            connect(("fe80::1", 9, 0, scope), hop).send(b"!")
        refused.append(why.value.errno)

    assert refused[0] == errno.EINVAL  # such an address needs one
    assert refused[1] != errno.EINVAL


def test_the_first_port_is_for_the_kernel_to_refuse(hop: Hop | None) -> None:
    sock = connect((NOBODY[0], 0), hop)

    assert sock.getsockname()[0] == NOBODY[0]
    sock.close()


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("accept", ("0",), TypeError),
        ("accept", (-1,), ValueError),
        ("end_on_close", (-1,), ValueError),
        ("end_on_close", (1 << 40,), OverflowError),
        ("connect", (), TypeError),
        ("connect", (NOBODY,), TypeError),
        ("connect", (["127.0.0.1", 1], 1), TypeError),
        ("connect", (("127.0.0.1",), 1), TypeError),
        ("connect", (("127.0.0.1", 1, 0), 1), TypeError),
        ("connect", (("127.0.0.1", "1"), 1), TypeError),
        ("connect", (("127.0.0.1", -1), 1), OverflowError),
        ("connect", (("127.0.0.1", 1 << 16), 1), OverflowError),
        ("connect", (("::1", 1), 1), ValueError),
        ("connect", (("127.0.0.1", 1, 0, 0), 1), ValueError),
        ("connect", (("localhost", 1), 1), ValueError),
        ("connect", (("127.0.0.1\0", 1), 1), ValueError),
        ("connect", (("1" * 10_000, 1), 1), ValueError),
        ("connect", (NOBODY, 1 << 40), OverflowError),
        ("connect", (NOBODY, "1"), TypeError),
    ],
)
def test_the_compiled_ones_refuse_what_they_cannot_work_with(
    name: str, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    before = open_descriptors()

    with pytest.raises(error):
        getattr(compiled, name)(*arguments)

    assert open_descriptors() == before


def test_a_peer_that_is_not_of_ip_is_refused_and_no_descriptor_is_left(tmp_path: str) -> None:
    path = f"{tmp_path}/socket"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        before = open_descriptors()
        with pytest.raises(ValueError, match="family 1, which is none of IP"):
            compiled.accept(listener.fileno())

        assert open_descriptors() == before


@pytest.mark.parametrize("where", [LISTENERS["ipv4"]])
@pytest.mark.parametrize("count", [300, pytest.param(100_000, marks=pytest.mark.soak)], ids=str)
def test_calls_leave_nothing_behind(listener: socket.socket, count: int) -> None:
    hop, name = FORMS["compiled"], name_at(listener, "127.0.0.1")

    def run(count: int) -> int:
        before = sys.getallocatedblocks()
        for _ in range(count):
            ours = connect(name, hop)
            sock, _ = accept(listener, hop)
            with contextlib.suppress(BlockingIOError):
                accept(listener, hop)[0].close()
            for each in (ours, sock):
                end_on_close(each, hop)
                each.close()
        return sys.getallocatedblocks() - before

    run(16)
    descriptors, references = open_descriptors(), [sys.getrefcount(each) for each in name]
    assert run(count) < 64
    assert open_descriptors() == descriptors
    assert [sys.getrefcount(each) for each in name] == references
