"""Stall detector: who acknowledges nothing is gone, who does not read is not."""

import contextlib
import socket
import struct

import pytest
from support.relay import tcp_pair

from towonel.relay.core.stall import INFO_BYTES, STALL_S, StallDetector


def info(*, unacknowledged: int = 0, probes: int = 0, quiet_s: float = 0) -> bytes:
    """The beginning of struct tcp_info, of which the detector reads three fields."""
    fields = [0] * 13
    fields[4], fields[12] = unacknowledged, int(quiet_s * 1000)
    return struct.pack("=8B13I", 0, 0, 0, probes, 0, 0, 0, 0, *fields)


@pytest.mark.parametrize("lost", [{"unacknowledged": 1}, {"probes": 2}], ids=["data", "probes"])
def test_a_peer_that_acknowledges_nothing_for_its_time_is_gone(lost: dict[str, int]) -> None:
    detector = StallDetector()

    assert not detector.check(info(quiet_s=500, **lost), 100)
    assert not detector.check(info(quiet_s=510, **lost), 100 + STALL_S - 1)
    assert detector.check(info(quiet_s=515, **lost), 100 + STALL_S)


def test_a_peer_that_acknowledges_slowly_is_there() -> None:
    detector = StallDetector()

    assert not any(
        detector.check(info(unacknowledged=9, quiet_s=STALL_S - 1), now) for now in range(1, 500)
    )


def test_a_peer_that_does_not_read_but_answers_probes_is_there() -> None:
    detector = StallDetector()

    assert not any(detector.check(info(probes=1, quiet_s=120), now) for now in range(1, 500))


def test_bytes_that_were_acknowledged_meanwhile_begin_a_new_time() -> None:
    detector = StallDetector()
    detector.check(info(unacknowledged=1), 100)
    detector.check(info(), 110)

    assert not detector.check(info(unacknowledged=1, quiet_s=60), 116)
    assert detector.check(info(unacknowledged=1, quiet_s=75), 131)


def test_the_kernel_says_of_a_peer_that_does_not_read_that_nothing_is_on_its_way() -> None:
    one, other = tcp_pair()
    with one, other:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                one.send(bytes(1 << 20))
        found = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)

        assert len(found) == INFO_BYTES == len(info())
        assert not any(StallDetector().check(found, now) for now in (1, 100))
