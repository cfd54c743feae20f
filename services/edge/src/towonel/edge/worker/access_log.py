"""Access log of a worker: draws connections, and keeps the lines about them for control's next report."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import batched
from typing import Final

from towonel.edge.core.access_log import AccessLine, AccessRecord, LineBudget, Way
from towonel.edge.worker.messages import ClientsEnded, Start
from towonel.wire.errors import Code

LINES_AT_ONCE: Final = 50  # in one message, some 45 KiB at their longest


class AccessLog:
    """Access log of one worker.

    Args:
        share: of connections that get a line, above 0 to 1.
        per_second: lines at most; further ones are counted.
        draw: returns a number from 0 to 1, evenly.
    """

    def __init__(
        self, share: float, per_second: int, draw: Callable[[], float] = random.random
    ) -> None:
        self._share = share
        self._draw = draw
        self._budget = LineBudget(per_second, time.monotonic)
        self._lines: list[AccessLine] = []
        self._dropped = 0

    def begin(self) -> AccessRecord | None:
        """Return the record of a connection that is accepted now, if it is drawn."""
        if self._share < 1 and self._draw() >= self._share:
            return None
        return AccessRecord(secrets.token_bytes(16), time.monotonic())

    def end(self, record: AccessRecord, code: Code, bytes_in: int, bytes_out: int) -> None:
        """Keep the line about a connection that ends now."""
        if self._budget.take():
            self._lines.append(record.finish(code, bytes_in, bytes_out, time.monotonic()))
        else:
            self._dropped += 1

    def take(self) -> Iterator[ClientsEnded]:
        """Yield what control is to write, since the last call."""
        lines, self._lines = self._lines, []
        dropped, self._dropped = self._dropped, 0
        for some in batched(lines, LINES_AT_ONCE, strict=False):
            yield ClientsEnded([tuple(line) for line in some], 0)
        if dropped:
            yield ClientsEnded([], dropped)


def open_access_log(start: Start) -> AccessLog | None:
    """Return the access log of a worker, if it has one."""
    return AccessLog(start.access_log, start.access_lines) if start.access_log else None


def note_accepted(record: AccessRecord, agent_id: bytes, way: Way) -> None:
    """Note which agent has accepted a connection now."""
    record.accepted_at = time.monotonic()
    record.agent_id, record.way = agent_id, way
