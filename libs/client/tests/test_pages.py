"""A list in pages is walked to its end, and a hub without an end is left."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from towonel.client.pages import pages
from towonel.wire.errors import Code, ProtocolError


@dataclass(frozen=True)
class Part:
    numbers: list[int]
    next_cursor: str | None


@dataclass
class Listing:
    parts: dict[str | None, Part]
    requested: list[str | None] = field(default_factory=list)

    async def fetch(self, *, limit: int | None = None, cursor: str | None = None) -> Part:
        self.requested.append(cursor)
        return self.parts[cursor]


def numbers(part: Part) -> Iterable[int]:
    return part.numbers


async def test_every_item_comes_once_and_in_order() -> None:
    listing = Listing(
        {None: Part([1, 2], "b"), "b": Part([], "c"), "c": Part([3], None)},
    )

    assert [item async for item in pages(listing.fetch, numbers)] == [1, 2, 3]
    assert listing.requested == [None, "b", "c"]


async def test_the_next_part_is_asked_for_when_it_is_needed() -> None:
    listing = Listing({None: Part([1, 2], "b")})
    walk = pages(listing.fetch, numbers)

    assert [await anext(walk), await anext(walk)] == [1, 2]
    assert listing.requested == [None]
    await walk.aclose()


@pytest.mark.parametrize(
    "parts",
    [
        {None: Part([1], "b"), "b": Part([2], "b")},
        {None: Part([1], "b"), "b": Part([2], "c"), "c": Part([3], "b")},
    ],
)
async def test_cursors_that_lead_in_a_circle_are_an_error(
    parts: dict[str | None, Part],
) -> None:
    listing = Listing(parts)

    with pytest.raises(ProtocolError) as caught:
        [item async for item in pages(listing.fetch, numbers, max_pages=10)]

    assert caught.value.code is Code.MALFORMED
    assert len(listing.requested) <= 10
