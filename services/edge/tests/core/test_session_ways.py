"""Ways of sessions: lanes as soon as there is one, and why there is none."""

import pytest

from towonel.edge.core.access_log import Way
from towonel.edge.core.session_ways import LOST, NONE_CAME, NOT_WANTED, Lanes, SessionWays

ONE, OTHER = b"1", b"2"
WANTED = Lanes(0, 0, 2)


@pytest.mark.parametrize("lanes", [Lanes(1, 0, 2), Lanes(0, 1, 2), Lanes(0, 1, 0)])
def test_a_session_with_a_lane_goes_by_lanes(lanes: Lanes) -> None:
    found = SessionWays().find(ONE, lanes)

    assert (found.way, found.reason, found.lanes) == (Way.LANE, None, lanes)


@pytest.mark.parametrize(
    ("lanes", "way"),
    [
        (Lanes(1, 1, 2, inside_tls=2), Way.TLS_LANE),
        (Lanes(2, 1, 2, inside_tls=2), Way.TLS_LANE),
        (Lanes(2, 2, 2, inside_tls=2), Way.LANE),
    ],
)
def test_the_way_is_the_kind_of_most_lanes(lanes: Lanes, way: Way) -> None:
    assert SessionWays().find(ONE, lanes).way is way


def test_a_session_without_streams_has_no_way_but_lanes() -> None:
    found = SessionWays().find(ONE, WANTED, has_streams=False)

    assert (found.way, found.reason) == (None, NONE_CAME)
    assert SessionWays().find(ONE, Lanes(1, 0, 2), has_streams=False).way is Way.LANE


def test_lanes_that_were_lost_are_told_from_those_that_never_came() -> None:
    ways = SessionWays()
    ways.find(ONE, Lanes(1, 0, 2))

    assert ways.find(ONE, WANTED).reason == LOST
    assert ways.find(OTHER, WANTED).reason == NONE_CAME
    assert ways.find(ONE, Lanes(0, 0, 0)).reason == NOT_WANTED


def test_sessions_that_are_over_are_forgotten() -> None:
    ways = SessionWays()
    for session_id in (ONE, OTHER):
        ways.find(session_id, Lanes(1, 0, 2))
    ways.keep({OTHER})

    assert ways.find(ONE, WANTED).reason == NONE_CAME
    assert ways.find(OTHER, WANTED).reason == LOST
