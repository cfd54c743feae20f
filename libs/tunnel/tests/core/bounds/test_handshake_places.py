"""Places of handshakes: who gets one, and who loses it."""

from towonel.tunnel.core.bounds.handshake_places import (
    PATIENCE_S,
    Free,
    Full,
    HandshakeLimits,
    HandshakePlaces,
)
from towonel.wire.errors import Code

NOW = 100.0
FULL = Full(Code.OVERLOADED)


def fill(places: HandshakePlaces[str], source: str, count: int) -> None:
    for number in range(count):
        assert places.find(source, NOW) == Free(None)
        places.take(source, f"{source}{number}", NOW)


def test_a_source_has_so_many_places_and_no_more() -> None:
    places = HandshakePlaces[str](HandshakeLimits(total=10, per_source=2))
    fill(places, "a", 2)

    assert places.find("a", NOW) == FULL
    assert places.find("b", NOW) == Free(None)
    places.leave("a0")
    assert places.find("a", NOW) == Free(None)


def test_when_all_are_taken_the_oldest_of_the_fullest_source_makes_room() -> None:
    places = HandshakePlaces[str](HandshakeLimits(total=5, per_source=4))
    fill(places, "a", 2)
    fill(places, "b", 3)

    assert places.find("c", NOW) == Free("b0")
    assert places.find("b", NOW) == FULL


def test_sources_with_a_place_each_do_not_push_each_other_out() -> None:
    places = HandshakePlaces[str](HandshakeLimits(total=2, per_source=2))
    fill(places, "a", 1)
    fill(places, "b", 1)

    assert places.find("a", NOW) == FULL
    assert places.find("c", NOW) == FULL


def test_of_sources_with_a_place_each_the_oldest_makes_room_once_it_had_its_time() -> None:
    places = HandshakePlaces[str](HandshakeLimits(total=2, per_source=2))
    fill(places, "a", 1)
    places.take("b", "b0", NOW + 0.5)

    assert places.find("c", NOW + PATIENCE_S - 0.01) == FULL
    assert places.find("c", NOW + PATIENCE_S) == Free("a0")
    assert places.find("b", NOW + PATIENCE_S) == FULL


def test_a_place_is_given_back_once() -> None:
    places = HandshakePlaces[str](HandshakeLimits(total=2, per_source=2))
    fill(places, "a", 1)
    places.leave("a0")
    places.leave("a0")

    assert len(places) == 0
    assert places.find("a", NOW) == Free(None)


def test_without_places_nobody_gets_one() -> None:
    assert HandshakePlaces[str](HandshakeLimits(total=0, per_source=2)).find("a", NOW) == FULL


def test_a_source_begins_so_many_in_a_time_even_if_each_is_over_at_once() -> None:
    places = HandshakePlaces[str](HandshakeLimits(per_s=2, burst=3))
    for _ in range(3):
        assert places.find("a", NOW) == Free(None)

    assert places.find("a", NOW) == Full(Code.RATE_LIMITED)
    assert places.find("b", NOW) == Free(None)
    assert places.find("a", NOW + 0.4) == Full(Code.RATE_LIMITED)
    assert places.find("a", NOW + 0.5) == Free(None)


def test_what_finds_no_place_is_not_counted_as_begun() -> None:
    places = HandshakePlaces[str](HandshakeLimits(per_source=1, per_s=0.001, burst=2))
    fill(places, "a", 1)
    for _ in range(5):
        assert places.find("a", NOW) == FULL
    places.leave("a0")

    assert places.find("a", NOW) == Free(None)
