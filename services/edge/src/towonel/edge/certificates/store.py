"""Store of certificates: what is in the folder is in the workers, and what changes there follows."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from towonel.edge.certificates.certificate import Certificate, CertificateError
from towonel.edge.certificates.files import (
    MAX_CERTIFICATES,
    FolderChanges,
    Stamp,
    find_stamp,
    read_changes,
    remove_certificate,
    write_certificate,
)
from towonel.edge.certificates.sources import (
    CertificateSource,
    NoRequests,
    OrderRecords,
    RequestReceiver,
)
from towonel.edge.core.certificates.fixes import NO_FILES
from towonel.edge.credentials import read_clock
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateRefused,
    CertificateRemoved,
    ChallengeChanged,
)
from towonel.runtime.logs import describe_error
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import RouteDelta, TlsMode

LOOK_S: Final = 30.0
_HTTPS: Final = f"{ServiceKind.HTTPS}:"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CertificateStore:
    """Store of an edge's certificates, by exact name.

    Args:
        tell: sends a message to all workers.

    Attributes:
        certificates: by name.
        expired: those that have ended, and nothing has replaced.
        unusable: why the newest files of a name cannot be used.
        published: names whose TLS ends here, without those of wildcards.
        source: of others, if there is one.
        hub_name: the hub's own name, once this edge answers it.
        orders: what is known of them, where certificates are ordered.
        requests: takes what people ask.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self.certificates: dict[Hostname, Certificate] = {}
        self.expired: dict[Hostname, Certificate] = {}
        self.unusable: dict[Hostname, str] = {}
        self.published: set[Hostname] = set()
        self.source: CertificateSource | None = None
        self.hub_name: Hostname | None = None
        self.orders: OrderRecords | None = None
        self.requests: RequestReceiver = NoRequests()
        self._challenges: dict[Hostname, bytes] = {}
        self._tell = tell
        self._stamps: dict[Hostname, Stamp] = {}
        self._failure = ""
        self._loading = asyncio.Lock()

    def has_room_for(self, name: Hostname) -> bool:
        """Tell whether the certificate of a name would be read, once it is in the folder."""
        return name in self._stamps or len(self._stamps) < MAX_CERTIFICATES

    def describe(self) -> Iterator[Message]:
        """Yield what a worker that starts is to know."""
        for certificate in self.certificates.values():
            yield _describe(certificate)
        for name, pem in self._challenges.items():
            yield ChallengeChanged(name, pem)

    # What clients want, and what is published.

    def want(self, name: Hostname, source: str) -> None:
        """Get the certificate that a client of a source waits for, or refuse it."""
        found = self.certificates.get(name)
        if found is not None:
            self._tell(_describe(found))
        elif self.source is None:
            self.refuse(name, NO_FILES)
        else:
            self.source.want(name, source)

    def change(self, delta: RouteDelta) -> None:
        """Get the certificates of names whose TLS ends here now."""
        if delta.snapshot:
            self.published.clear()
        changed = {each.key: each for each in delta.routes if each.kind is ServiceKind.HTTPS}
        for key in (*delta.removed, *changed):
            self.published.discard(Hostname(key.removeprefix(_HTTPS)))
        ending = [each for each in changed.values() if each.tls_mode is TlsMode.TERMINATE]
        names = [Hostname(each.name) for each in ending if not each.name.startswith("*")]
        self.published.update(names)
        if self.source is not None:
            self.source.consider(names)

    def refuse(self, name: Hostname, reason: str, source: str = "") -> None:
        """Tell clients that wait for a certificate that there is none now, all of them or those of a source."""
        self._tell(CertificateRefused(name, reason, source))

    def show_challenge(self, name: Hostname, pem: bytes) -> None:
        """Answer the challenge of a name with a certificate; empty for no more."""
        self._challenges.pop(name, None)
        if pem:
            self._challenges[name] = pem
        self._tell(ChallengeChanged(name, pem))

    # What is in the folder.

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
        async with self._loading:
            await self._load_changes(folder)

    async def load_name(self, folder: Path, name: Hostname) -> None:
        """Load what is new in a folder, if the files of a name are."""
        stamp = await asyncio.to_thread(find_stamp, folder, name)
        if stamp != self._stamps.get(name):
            await self.load(folder)

    async def put(self, folder: Path, name: Hostname, chain: bytes, key: bytes) -> None:
        """Write the certificate of a name into a folder, and have it.

        Raises:
            OSError: as of `write_certificate`.
        """
        async with self._loading:
            await asyncio.to_thread(write_certificate, folder, name, chain, key)
            await self._load_changes(folder)

    async def remove(self, folder: Path, name: Hostname) -> None:
        """Remove the files of a name's certificate, and have it no more.

        Raises:
            OSError: as of `remove_certificate`.
        """
        async with self._loading:
            await asyncio.to_thread(remove_certificate, folder, name)
            await self._load_changes(folder)

    async def _load_changes(self, folder: Path) -> None:
        try:
            changes = await asyncio.to_thread(read_changes, folder, dict(self._stamps))
        except OSError as error:
            failure = describe_error(error)
            if failure != self._failure:
                log.warning("certificates.unread", folder=str(folder), error=failure)
            self._failure = failure
            return
        self._failure = ""
        self.apply(changes, read_clock())

    def apply(self, changes: FolderChanges, now: datetime) -> None:
        """Have what has changed, and forget what is there no more, or has ended; by a clock that is set back, it has not."""
        for name in self._stamps.keys() - changes.stamps:
            self._remove(name)
        self._stamps = dict(changes.stamps)
        for name, found in changes.changed.items():
            if isinstance(found, CertificateError):  # the one before is good until it ends
                log.warning("certificate.unusable", name=name, reason=str(found))
                self.unusable[name] = str(found)
            else:
                self._load(found)
        for found in [each for each in self.expired.values() if each.not_after > now]:
            self._load(found)  # the clock was ahead
        for name in [each.name for each in self.certificates.values() if each.not_after <= now]:
            log.warning("certificate.expired", name=name)
            self.expired[name] = self.certificates[name]
            self._tell_removed(name)

    def _load(self, certificate: Certificate) -> None:
        self._forget(certificate.name)
        self.certificates[certificate.name] = certificate
        self._tell(_describe(certificate))
        expires_at = certificate.not_after.isoformat()
        log.info("certificate.loaded", name=certificate.name, expires_at=expires_at)

    def _remove(self, name: Hostname) -> None:
        self._forget(name)
        self._tell_removed(name)

    def _forget(self, name: Hostname) -> None:
        self.expired.pop(name, None)
        self.unusable.pop(name, None)

    def _tell_removed(self, name: Hostname) -> None:
        if self.certificates.pop(name, None) is not None:
            self._tell(CertificateRemoved(name))


def _describe(certificate: Certificate) -> CertificateLoaded:
    return CertificateLoaded(certificate.name, certificate.pem, certificate.is_exclusive)
