"""Rate limiter of log lines: those of one key are counted, and become one line a second.

Whatever others can cause at will would otherwise fill the disk, and keep the processor busy with
writing it.
"""

import asyncio
import contextvars
import logging
from collections.abc import Hashable
from dataclasses import dataclass, field

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()

INTERVAL_S = 1.0
MAX_KEYS = 20  # lines in one interval, beside one for each event whose further keys are counted


@dataclass(slots=True)
class _Pending:
    """Lines of one key that are counted and not written yet; the fields are the last one's."""

    level: int = logging.INFO
    count: int = 0
    fields: dict[str, object] = field(default_factory=dict[str, object])
    owner: Hashable = None


class LogLimit:
    """Rate limiter of log lines that others can cause; for one event loop.

    The first line of a key is written at once. Those of the same interval are counted, and written
    at its end as one, with the fields of the last and its `count`. While lines of `max_keys` keys
    come, those of further keys are counted together, as one line for each event.

    Args:
        interval_s: between two lines of one key.
        max_keys: lines in an interval at most, beside one for each event.
        max_keys_per_owner: of those, lines about one owner.
    """

    def __init__(
        self,
        *,
        interval_s: float = INTERVAL_S,
        max_keys: int = MAX_KEYS,
        max_keys_per_owner: int = MAX_KEYS,
    ) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._max_keys_per_owner = max_keys_per_owner
        self._pending: dict[tuple[str, Hashable], _Pending] = {}
        self._timer: asyncio.TimerHandle | None = None
        # A counted line belongs to many requests: it must not carry the context of one of them.
        self._context = contextvars.copy_context()

    def info(
        self, event: str, *, key: Hashable, owner: Hashable = None, times: int = 1, **fields: object
    ) -> None:
        """Log at level info: write the line, or count it.

        Args:
            event: from a fixed set, since each one may take a line of its own.
            key: of what is counted together; others may choose it.
            owner: who can cause lines of many keys, if there is one.
            times: how many lines this one stands for.
            fields: of the line.
        """
        self._log(event, key, _Pending(logging.INFO, times, fields, owner))

    def warning(self, event: str, *, key: Hashable, times: int = 1, **fields: object) -> None:
        """Log at level warning; otherwise as `info`."""
        self._log(event, key, _Pending(logging.WARNING, times, fields))

    def flush(self) -> None:
        """Write what is counted, and forget all keys: at the end of the process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._write_pending()
        self._pending.clear()

    def _log(self, event: str, key: Hashable, line: _Pending) -> None:
        pending = self._pending.get((event, key))
        if pending is None and self._is_full(line.owner):
            pending = self._pending.setdefault((event, None), _Pending())
        if pending is None:
            self._pending[event, key] = _Pending(owner=line.owner)
            counted = {"count": line.count} if line.count > 1 else {}
            log.log(line.level, event, **line.fields, **counted)
        else:
            pending.level, pending.fields = line.level, line.fields
            pending.count += line.count
        if self._timer is None:
            self._start_timer()

    def _is_full(self, owner: Hashable) -> bool:
        if owner is not None:
            own = sum(pending.owner == owner for pending in self._pending.values())
            if own >= self._max_keys_per_owner:
                return True
        return len(self._pending) >= self._max_keys

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval_s, self._end_interval, context=self._context)

    def _end_interval(self) -> None:
        self._timer = None
        self._pending = self._write_pending()
        if self._pending:
            self._start_timer()

    def _write_pending(self) -> dict[tuple[str, Hashable], _Pending]:
        """Write a line for each key that has some, and return these keys with nothing counted."""
        written = [(name, pending) for name, pending in self._pending.items() if pending.count]
        for (event, _), pending in written:
            log.log(pending.level, event, **pending.fields, count=pending.count)
        return {name: _Pending(owner=pending.owner) for name, pending in written}
