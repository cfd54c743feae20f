"""Set-up of every test: signals, logs, and the report of the run."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

pytest_plugins = [
    "support.branches",
    "support.compilation",
    "support.groups",
    "support.open_transports",
    "support.selection",
    "support.statements",
    "support.run_report",
]

# The background of a shell ignores the one and nohup the other, and so would every child of a test:
# what is caught has its default again there, and what is ignored has not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# A tenth of the run would go to looking for garbage among what imports and collection leave, which is none.
gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish() -> None:
    """Share SQLAlchemy's dialects, and take what is here out of each search for garbage."""
    if "sqlalchemy" in sys.modules:  # tests of pure code need none of it
        from support import shared_dialects  # noqa: PLC0415

        shared_dialects.register()
    gc.freeze()


def has_room(folder: Path) -> bool:
    """Return whether a folder takes files, as many as the tests make, and lets them be executed."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    is_executable = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    return is_executable and shutil.disk_usage(folder).free >= ROOM


# Tests wait for databases, and these for the disk: with files in memory they take two thirds of the time.
MEMORY, ROOM = Path("/dev/shm"), 2 << 30  # noqa: S108 tempfile makes the names in it
if has_room(MEMORY):
    tempfile.tempdir = os.environ.setdefault("TMPDIR", str(MEMORY))  # noqa: TID251 for programs of the tests

# What the machine trusts is no matter of the tests, and every command would parse it, for 30 ms each.
for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(name, None)  # noqa: TID251 not a setting: it is taken away

# httpx looks for it at each request, to know whether trio runs: a search through all paths.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

# The default shows every local variable of a traceback, which takes a minute for a whole hub.
LOGS = structlog.get_config()
LOGS["processors"][-1] = structlog.dev.ConsoleRenderer(
    colors=False, exception_formatter=structlog.dev.plain_traceback
)


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Restore the configuration of logs, which a test may have changed."""
    structlog.configure(**LOGS)
    yield
    structlog.contextvars.clear_contextvars()
