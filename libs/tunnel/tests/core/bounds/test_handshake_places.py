"""Places of handshakes: who gets one, and who loses it."""

from towonel.tunnel.core.bounds.handshake_places import PATIENCE_S, Free, Full, HandshakePlaces

NOW = 100.0


def fill(places: HandshakePlaces[str], source: str, count: int) -> None:
    for number in range(count):
        assert places.find(source, NOW) == Free(None)
        places.take(source, f"{source}{number}", NOW)


def test_a_source_has_so_many_places_and_no_more() -> None:
    places = HandshakePlaces[str](total=10, per_source=2)
    fill(places, "a", 2)

    assert places.find("a", NOW) == Full()
    assert places.find("b", NOW) == Free(None)
    places.leave("a0")
    assert places.find("a", NOW) == Free(None)


def test_when_all_are_taken_the_oldest_of_the_fullest_source_makes_room() -> None:
    places = HandshakePlaces[str](total=5, per_source=4)
    fill(places, "a", 2)
    fill(places, "b", 3)

    assert places.find("c", NOW) == Free("b0")
    assert places.find("b", NOW) == Full()


def test_sources_with_a_place_each_do_not_push_each_other_out() -> None:
    places = HandshakePlaces[str](total=2, per_source=2)
    fill(places, "a", 1)
    fill(places, "b", 1)

    assert places.find("a", NOW) == Full()
    assert places.find("c", NOW) == Full()


def test_of_sources_with_a_place_each_the_oldest_makes_room_once_it_had_its_time() -> None:
    places = HandshakePlaces[str](total=2, per_source=2)
    fill(places, "a", 1)
    places.take("b", "b0", NOW + 0.5)

    assert places.find("c", NOW + PATIENCE_S - 0.01) == Full()
    assert places.find("c", NOW + PATIENCE_S) == Free("a0")
    assert places.find("b", NOW + PATIENCE_S) == Full()


def test_a_place_is_given_back_once() -> None:
    places = HandshakePlaces[str](total=2, per_source=2)
    fill(places, "a", 1)
    places.leave("a0")
    places.leave("a0")

    assert len(places) == 0
    assert places.find("a", NOW) == Free(None)


def test_without_places_nobody_gets_one() -> None:
    assert HandshakePlaces[str](total=0, per_source=2).find("a", NOW) == Full()
