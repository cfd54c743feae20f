"""Receive windows: limits that follow what was delivered."""

import pytest

from towonel.tunnel.core.bounds.receive_windows import (
    ADMITTED_SIZES,
    AGENT_SIZES,
    CONTROL_BYTES,
    EDGE_SIZES,
    ReceiveWindows,
    WindowSizes,
)
from towonel.wire.credit import MAX_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES
from towonel.wire.messages import MAX_FRAME_BYTES

SLIDING = WindowSizes(100, 400, gaps=2, slides=True)
FIXED = WindowSizes(100, 400, gaps=2, slides=False)


def test_before_admission_limits_stand_still() -> None:
    windows = ReceiveWindows(FIXED)
    windows.record(400, 0)

    assert windows.connection_limit(400) == 400
    assert windows.stream_limit(100, 100) == 100


@pytest.mark.parametrize(("delivered", "limit"), [(0, 400), (99, 400), (100, 500), (399, 799)])
def test_the_limit_of_a_connection_slides_once_a_quarter_was_delivered(
    delivered: int, limit: int
) -> None:
    windows = ReceiveWindows(SLIDING)
    windows.record(delivered, 0)

    assert windows.connection_limit(400) == limit + CONTROL_BYTES


@pytest.mark.parametrize(("delivered", "limit"), [(0, 100), (24, 100), (25, 125), (100, 200)])
def test_the_limit_of_a_stream_slides_once_a_quarter_was_delivered(
    delivered: int, limit: int
) -> None:
    assert ReceiveWindows(SLIDING).stream_limit(100, delivered) == limit


def test_a_wider_window_counts_at_once() -> None:
    windows = ReceiveWindows(FIXED)
    windows.sizes = WindowSizes(800, 3200, gaps=2, slides=True)

    assert windows.connection_limit(400) == 3200 + CONTROL_BYTES
    assert windows.widest_limit(100, 0) == 800


def test_a_stream_that_is_hardly_used_keeps_its_first_limit() -> None:
    windows = ReceiveWindows(WindowSizes(800, 3200, gaps=2, slides=True))

    assert windows.stream_limit(100, 24) == 100
    assert windows.stream_limit(100, 25) == 825
    assert windows.stream_limit(825, 200) == 825
    assert windows.stream_limit(825, 225) == 1025
    assert ReceiveWindows(FIXED).widest_limit(100, 50) == 100


def test_gaps_are_bounded_over_all_streams() -> None:
    windows = ReceiveWindows(SLIDING)
    windows.record(0, 2)
    assert not windows.allows_gap
    windows.record(0, -1)

    assert windows.allows_gap


def test_the_sizes_let_an_honest_peer_do_what_the_protocol_allows() -> None:
    assert WindowSizes(128 * 1024, 256 * 1024, gaps=32, slides=False) == EDGE_SIZES
    assert EDGE_SIZES.stream_bytes > MAX_FRAME_BYTES
    assert AGENT_SIZES.stream_bytes >= STREAM_WINDOW_BYTES
    assert ADMITTED_SIZES.stream_bytes >= MAX_STREAM_WINDOW_BYTES
