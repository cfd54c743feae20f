"""Errors of addresses that cannot be listened on: the variable, the reason, and what to set."""

import contextlib
import errno
import os
import socket

import pytest

from towonel.runtime.environment.ports import describe_busy, listen_error


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("kind", "host"),
    [
        (socket.SOCK_STREAM, "127.0.0.1"),
        (socket.SOCK_DGRAM, "127.0.0.1"),
        (socket.SOCK_STREAM, "::1"),
    ],
)
def test_a_port_in_use_is_named_with_its_variable_and_one_that_is_free(
    kind: socket.SocketKind, host: str
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as taken:
        taken.bind((host, 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        (line,) = listen_error("A_ADDR", host, port, failure(errno.EADDRINUSE)).problems
        address = f"[{host}]" if ":" in host else host
        start, _, free = line.partition(f" is free: A_ADDR={address}:")

        assert start.startswith(
            f"A_ADDR: cannot listen on {address}:{port}: Address already in use"
        )
        with socket.socket(family, kind) as other:
            other.bind((host, int(free)))


def test_a_busy_address_is_described_unless_both_share_it() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = describe_busy("A", "127.0.0.1", port, is_shared=False)
        shared = describe_busy("A", "127.0.0.1", port, is_shared=True)

    assert str(busy).startswith(f"A: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert shared is None
    assert describe_busy("A", "127.0.0.1", port, is_shared=False) is None
    assert describe_busy("A", "192.0.2.1", 0, is_shared=False) is None


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_either_tcp_or_udp_has_taken_is_not_advised(kind: socket.SocketKind) -> None:
    with contextlib.ExitStack() as taken:
        port, after = _take_neighbours(taken, kind)
        (line,) = listen_error("A", "127.0.0.1", port, failure(errno.EADDRINUSE)).problems
        free = int(line.rpartition(":")[2])

    assert free > after


def _take_neighbours(taken: contextlib.ExitStack, kind: socket.SocketKind) -> tuple[int, int]:
    """Return two ports one after the other, of which the second is taken for one kind alone."""
    for port in range(20_000, 30_000, 2):
        second = taken.enter_context(socket.socket(socket.AF_INET, kind))
        with contextlib.suppress(OSError):
            second.bind(("127.0.0.1", port + 1))
            if kind is socket.SOCK_STREAM:
                second.listen()
            return port, port + 1
    raise AssertionError("no port is free")


def test_a_privileged_port_says_which_privilege() -> None:
    (line,) = listen_error("A_ADDR", "127.0.0.1", 443, failure(errno.EACCES)).problems

    assert "Permission denied; it takes a privilege (CAP_NET_BIND_SERVICE); port " in line
    assert " is free: A_ADDR=127.0.0.1:" in line


def test_an_address_of_another_machine_says_what_takes_all() -> None:
    (line,) = listen_error("A_ADDR", "192.0.2.1", 443, failure(errno.EADDRNOTAVAIL)).problems

    assert line.endswith("; no network of this machine has it; A_ADDR=0.0.0.0:443 takes all")


def test_another_failure_has_no_advice() -> None:
    error = listen_error("", "127.0.0.1", 443, failure(errno.EMFILE))

    assert error.problems == ["cannot listen on 127.0.0.1:443: Too many open files"]


def test_without_a_free_port_nothing_is_advised() -> None:
    (line,) = listen_error("A", "192.0.2.1", 65_535, failure(errno.EADDRINUSE)).problems

    assert line == "A: cannot listen on 192.0.2.1:65535: Address already in use"
