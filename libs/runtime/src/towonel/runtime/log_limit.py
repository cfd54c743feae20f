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


class LogLimit:
    """Rate limiter of log lines that others can cause; for one event loop.

    The first line of a key is written at once. Those of the same interval are counted, and written
    at its end as one, with the fields of the last and its `count`. While lines of `max_keys` keys
    come, those of further keys are counted together, as one line for each event.

    Args:
        interval_s: between two lines of one key.
        max_keys: lines in an interval at most, beside one for each event.
    """

    def __init__(self, *, interval_s: float = INTERVAL_S, max_keys: int = MAX_KEYS) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._pending: dict[tuple[str, Hashable], _Pending] = {}
        self._timer: asyncio.TimerHandle | None = None
        # A counted line belongs to many requests: it must not carry the context of one of them.
        self._context = contextvars.copy_context()

    def info(self, event: str, *, key: Hashable, times: int = 1, **fields: object) -> None:
        """Log at level info: write the line, or count it.

        Args:
            event: from a fixed set, since each one may take a line of its own.
            key: of what is counted together; others may choose it.
            times: how many lines this one stands for.
            fields: of the line.
        """
        self._log(logging.INFO, event, key, times, fields)

    def warning(self, event: str, *, key: Hashable, times: int = 1, **fields: object) -> None:
        """Log at level warning; otherwise as `info`."""
        self._log(logging.WARNING, event, key, times, fields)

    def flush(self) -> None:
        """Write what is counted, and forget all keys: at the end of the process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._write_pending()
        self._pending.clear()

    def _log(
        self, level: int, event: str, key: Hashable, times: int, fields: dict[str, object]
    ) -> None:
        pending = self._pending.get((event, key))
        if pending is None and len(self._pending) >= self._max_keys:
            pending = self._pending.setdefault((event, None), _Pending())
        if pending is None:
            self._pending[event, key] = _Pending()
            log.log(level, event, **fields, **({"count": times} if times > 1 else {}))
        else:
            pending.level, pending.fields = level, fields
            pending.count += times
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval_s, self._end_interval, context=self._context)

    def _end_interval(self) -> None:
        self._timer = None
        self._pending = {name: _Pending() for name in self._write_pending()}
        if self._pending:
            self._start_timer()

    def _write_pending(self) -> list[tuple[str, Hashable]]:
        """Write a line for each key that has some, and return these keys."""
        written = [(name, pending) for name, pending in self._pending.items() if pending.count]
        for (event, _), pending in written:
            log.log(pending.level, event, **pending.fields, count=pending.count)
        return [name for name, _ in written]
