"""Preload of the fork server: what hubs, edges and agents import, at start or at their first request."""

import gc
import importlib
import tempfile
from pathlib import Path

MODULES = (
    "pytest",
    "support.fork_server",
    "towonel.hub.cli",
    "towonel.hub.app",
    "towonel.edge.cli",
    "towonel.edge.app",
    "towonel.edge.worker.process",
    "towonel.agent.cli",
    "towonel.agent.app",
    "towonel.agent.worker.worker",
    "towonel.cli.app",
    # What libraries import at their first use.
    "aiosqlite",
    "anyio._backends._asyncio",
    "cryptography.hazmat.backends.openssl",
    "encodings.idna",
    "fastapi_swagger",
    "httpcore",
    "multiprocessing.popen_forkserver",
    "pydantic.dataclasses",
    "uvicorn.lifespan.on",
)


def preload() -> None:
    """Import them, and migrate a database once, which fills the caches of SQLAlchemy and of Alembic."""
    gc.disable()  # what is imported stays
    for name in MODULES:
        importlib.import_module(name)
    from towonel.hub.store.db.database import Database  # noqa: PLC0415 nothing looks for garbage now
    from towonel.hub.store.db.migrate import upgrade  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        upgrade(Database.in_file(Path(folder) / "hub.db"))
    gc.freeze()
    gc.enable()


preload()
