"""Pytest plugin: a transport that nobody has closed says in which test it was opened, and from where.

Its warning comes when it is collected, most often during somebody else's test.
"""

import os
import sys
from asyncio import selector_events
from types import FrameType
from typing import Any

FRAMES = 12
_transport: Any = vars(selector_events)["_SelectorTransport"]
_initialize, _describe = _transport.__init__, _transport.__repr__


def find_callers() -> list[str]:
    """Return the innermost frames that are neither asyncio's nor pytest's."""
    frame: FrameType | None = sys._getframe(1)
    found = list[str]()
    while frame is not None and len(found) < FRAMES:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in {"asyncio", "_pytest", "pluggy"}:
            found.append(f"{module}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return found


def initialize(self: Any, *arguments: Any, **named: Any) -> None:
    self.opened_in = os.environ.get("PYTEST_CURRENT_TEST"), find_callers()
    _initialize(self, *arguments, **named)


def describe(self: Any) -> str:
    return f"{_describe(self)}, opened in {getattr(self, 'opened_in', None)}"


_transport.__init__, _transport.__repr__ = initialize, describe
