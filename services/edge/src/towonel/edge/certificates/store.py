"""Store of certificates: what is in the folder is in the workers, and what changes there follows."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from towonel.edge.certificates.certificate import Certificate, CertificateError
from towonel.edge.certificates.files import FolderChanges, Stamp, read_changes
from towonel.edge.credentials import to_datetime
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRemoved
from towonel.runtime.logs import describe_error
from towonel.wire.names import Hostname

LOOK_S: Final = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CertificateStore:
    """Store of an edge's certificates, by exact name.

    Args:
        tell: sends a message to all workers.

    Attributes:
        certificates: by name.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self.certificates: dict[Hostname, Certificate] = {}
        self._tell = tell
        self._stamps: dict[Hostname, Stamp] = {}
        self._failure = ""

    def describe(self) -> Iterator[Message]:
        """Yield what a worker that starts is to know."""
        for certificate in self.certificates.values():
            yield CertificateLoaded(certificate.name, certificate.pem)

    @contextlib.asynccontextmanager
    async def follow(self, folder: Path, look_s: float = LOOK_S) -> AsyncGenerator[None]:
        """Have the certificates of a folder for the time of the block, looking every `look_s` for changes."""
        await self.load(folder)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._follow(folder, look_s))
            try:
                yield
            finally:
                task.cancel()

    async def _follow(self, folder: Path, look_s: float) -> None:
        while True:
            await asyncio.sleep(look_s)
            await self.load(folder)

    async def load(self, folder: Path) -> None:
        """Load what is new in a folder; one that cannot be read changes nothing."""
        try:
            changes = await asyncio.to_thread(read_changes, folder, dict(self._stamps))
        except OSError as error:
            failure = describe_error(error)
            if failure != self._failure:
                log.warning("certificates.unread", folder=str(folder), error=failure)
            self._failure = failure
            return
        self._failure = ""
        self.change(changes, to_datetime(time.time_ns() // 1_000_000))

    def change(self, changes: FolderChanges, now: datetime) -> None:
        """Have what has changed, and forget what is there no more, or has ended."""
        for name in self._stamps.keys() - changes.stamps:
            self._remove(name)
        self._stamps = dict(changes.stamps)
        for name, found in changes.changed.items():
            if isinstance(found, CertificateError):  # the one before is good until it ends
                log.warning("certificate.unusable", name=name, reason=str(found))
            else:
                self._load(found)
        for name in [each.name for each in self.certificates.values() if each.not_after <= now]:
            log.warning("certificate.expired", name=name)
            self._remove(name)

    def _load(self, certificate: Certificate) -> None:
        self.certificates[certificate.name] = certificate
        self._tell(CertificateLoaded(certificate.name, certificate.pem))
        expires_at = certificate.not_after.isoformat()
        log.info("certificate.loaded", name=certificate.name, expires_at=expires_at)

    def _remove(self, name: Hostname) -> None:
        if self.certificates.pop(name, None) is not None:
            self._tell(CertificateRemoved(name))
