"""Ranges of public ports that one service has: `27015-27030`, both ends included."""

import re
from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby
from typing import Final

from towonel.wire.addresses import LAST_PORT

MAX_RANGE_PORTS: Final = 512  # the original's limit: each takes a socket at every edge
_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)


def format_ports(first: int, last: int) -> str:
    """Return ports as people write them: `2222`, or `27015-27030`."""
    return str(first) if first == last else f"{first}-{last}"


def split_range(text: str) -> tuple[int, int] | None:
    """Return the two numbers of `27015-27030`, whatever they are; None of any other text."""
    found = _RANGE.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[2]))


def parse_range(text: str) -> tuple[int, int] | None:
    """Return the first and the last port of a range that a service can have; None of any other text."""
    found = split_range(text)
    return None if found is None or find_range_problem(*found) else found


def find_range_problem(first: int, last: int) -> str | None:
    """Return the rule that a range of ports breaks, with the numbers; None if it breaks none."""
    text = f"{first}-{last}"
    if not 1 <= first <= LAST_PORT or not 1 <= last <= LAST_PORT:
        return f"{text}: ports are 1 to {LAST_PORT}"
    if first >= last:
        return f"{text}: the first port must be below the last"
    count = last - first + 1
    if count > MAX_RANGE_PORTS:
        return f"{text}: has {count} ports, and a service may have {MAX_RANGE_PORTS}"
    return None


def group_ports[T: Hashable](
    ports: Iterable[tuple[int, T]],
) -> Iterator[tuple[int, int, T]]:
    """Yield first and last of each run of ports that follow each other and are alike.

    Args:
        ports: in order, each with what it is like.
    """
    alike = groupby(enumerate(ports), key=lambda it: (it[1][0] - it[0], it[1][1]))
    for (_, like), run in alike:
        numbers = [port for _, (port, _) in run]
        yield numbers[0], numbers[-1], like
