"""Path of sealed packets: whether they pass, and how large they may be."""

import pytest

from towonel.relay.core.datagram_path import (
    AGAIN_S,
    BASE_BYTES,
    DOWN_S,
    KEEPALIVE_S,
    MAX_LOST_PROBES,
    PROBE_AGAIN_S,
    SIZES_V4,
    SMALLEST,
    DatagramPath,
    PathState,
)

SIZES = (SMALLEST, *SIZES_V4)


def open_path(now: float = 0.0, *, opens: bool = True) -> DatagramPath:
    """Return a path that is up, and has asked for sizes."""
    path = DatagramPath(SIZES_V4, now, opens=opens)
    path.note_heard()
    assert path.tick(now) == SIZES
    path.note_heard()
    return path


def state_of(path: DatagramPath) -> PathState:
    """The state now, of which a checker remembers nothing."""
    return path.state


def test_an_agent_asks_at_once_and_each_second_until_it_hears() -> None:
    path = DatagramPath(SIZES_V4, 0.0, opens=True)

    assert [path.tick(now) for now in (0.0, 0.5, 1.0, 2.0)] == [
        (SMALLEST,),
        (),
        (SMALLEST,),
        (SMALLEST,),
    ]
    assert state_of(path) is PathState.UNKNOWN
    path.note_heard()
    assert state_of(path) is PathState.UP


def test_an_agent_that_hears_nothing_asks_again_now_and_then() -> None:
    path = DatagramPath(SIZES_V4, 0.0, opens=True)
    path.tick(DOWN_S - 0.5)

    assert path.tick(DOWN_S) == ()
    assert state_of(path) is PathState.DOWN
    assert path.tick(DOWN_S + AGAIN_S) == (SMALLEST,)


def test_an_edge_asks_nobody_before_it_has_heard_of_one() -> None:
    path = DatagramPath(SIZES_V4, 0.0, opens=False)

    assert path.tick(DOWN_S - 0.5) == ()
    assert state_of(path) is PathState.UNKNOWN
    assert path.tick(100.0) == ()
    assert state_of(path) is PathState.DOWN
    path.note_heard()
    assert path.tick(100.0) == SIZES


@pytest.mark.parametrize("opens", [True, False])
def test_an_idle_path_is_kept_open(opens: bool) -> None:
    path = open_path(opens=opens)

    assert path.tick(KEEPALIVE_S - 1) == ()
    assert path.tick(KEEPALIVE_S) == (SMALLEST,)


def test_who_sends_and_hears_nothing_asks_and_gives_up() -> None:
    path = open_path(opens=False)
    path.note_sent(30.0)
    path.note_sent(30.5)

    assert path.tick(30.5) == (SMALLEST,), "the keepalive was due"
    path.note_heard()
    path.note_sent(40.0)
    assert [path.tick(40.0 + s) for s in (0.5, 1, 1.5, 2)] == [(), (SMALLEST,), (), (SMALLEST,)]
    assert state_of(path) is PathState.UP
    path.tick(40.0 + DOWN_S)
    assert state_of(path) is PathState.DOWN
    assert path.tick(60.0) == (), "the agent opens the way again"
    path.note_heard()
    assert state_of(path) is PathState.UP


def test_the_largest_size_that_is_answered_is_used() -> None:
    path = open_path()
    assert path.size == BASE_BYTES

    path.note_pong(SIZES_V4[2])
    path.note_pong(SIZES_V4[3])

    assert path.size == SIZES_V4[2]


def test_a_size_that_is_not_answered_any_more_is_given_up() -> None:
    path, now = open_path(), 0.0
    path.note_pong(SIZES_V4[0])
    for _ in range(MAX_LOST_PROBES):
        now += KEEPALIVE_S
        assert path.tick(now) == (SMALLEST, SIZES_V4[0])
        path.note_heard()
    assert path.size == SIZES_V4[0]

    now += KEEPALIVE_S
    assert path.tick(now) == (SMALLEST,)
    assert path.size == BASE_BYTES


def test_larger_packets_are_tried_again_later() -> None:
    path = open_path()
    path.note_pong(SIZES_V4[3])

    assert path.tick(PROBE_AGAIN_S) == SIZES


def test_a_size_that_this_machine_refuses_is_found_anew() -> None:
    path = open_path()
    path.note_pong(SIZES_V4[0])

    path.note_too_large(KEEPALIVE_S)

    assert path.size == BASE_BYTES
    assert path.tick(KEEPALIVE_S) == SIZES


def test_a_path_that_goes_down_begins_with_small_packets() -> None:
    path = open_path()
    path.note_pong(SIZES_V4[0])
    path.note_sent(1.0)
    path.tick(1.0 + DOWN_S)

    assert path.size == BASE_BYTES
