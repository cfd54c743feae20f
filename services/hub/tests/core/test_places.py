"""Places of each key: so many at once, and none that is forgotten."""

import contextlib

import pytest

from towonel.hub.core.places import KeyedPlaces
from towonel.wire.errors import Code, Unavailable


def test_a_key_holds_so_many_places_and_others_have_theirs() -> None:
    places = KeyedPlaces(2, "requests of this edge", 5)
    with contextlib.ExitStack() as held:
        for key in ("a", "a", "b"):
            held.enter_context(places.hold(key))
        with pytest.raises(Unavailable) as refused, places.hold("a"):
            pass
    with places.hold("a"):
        holders = len(places)

    assert (refused.value.code, refused.value.retry_after_s) == (Code.RATE_LIMITED, 5)
    assert "more than 2 requests of this edge" in refused.value.detail
    assert (holders, len(places)) == (1, 0)
