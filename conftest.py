"""What holds for every test, whoever starts them and whatever ran before."""

import signal
from collections.abc import Iterator

import pytest
import structlog

# In the background of a shell, or under nohup, both are ignored, and so in every child of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The default shows every local variable of a traceback, which takes a minute for a whole hub.
PLAIN = structlog.dev.ConsoleRenderer(
    colors=False, exception_formatter=structlog.dev.plain_traceback
)
LOGS = structlog.get_config()
LOGS["processors"][-1] = PLAIN


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Log as before, whatever a test or what it started has configured."""
    structlog.configure(**LOGS)
    yield
    structlog.contextvars.clear_contextvars()
