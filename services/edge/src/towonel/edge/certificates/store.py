"""Store of certificates: what is in the folder is in the workers, and what changes there follows."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, override

import structlog

from towonel.edge.certificates.certificate import Certificate, CertificateError
from towonel.edge.certificates.files import (
    MAX_CERTIFICATES,
    FolderChanges,
    Stamp,
    find_stamp,
    read_changes,
    write_certificate,
)
from towonel.edge.credentials import read_clock
from towonel.edge.sessions import SessionObserver
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateRefused,
    CertificateRemoved,
    ChallengeChanged,
)
from towonel.runtime.logs import describe_error
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.routes import RouteDelta, TlsMode
from towonel.wire.session.balance_hints import BalanceHints

LOOK_S: Final = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CertificateSource(Protocol):
    """Source of certificates that the folder does not have."""

    def want(self, name: Hostname, source: str) -> None:
        """Get the certificate that a client of a source waits for; `refuse` of the store is called where there is none."""
        ...

    def consider(self, names: Iterable[Hostname]) -> None:
        """Get certificates of names that are published, or whose agents came, before clients wait for them."""
        ...


class CertificateStore(SessionObserver):
    """Store of an edge's certificates, by exact name.

    Args:
        tell: sends a message to all workers.

    Attributes:
        certificates: by name.
        source: of others, if there is one.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self.certificates: dict[Hostname, Certificate] = {}
        self._ended: dict[Hostname, Certificate] = {}
        self.source: CertificateSource | None = None
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
            yield CertificateLoaded(certificate.name, certificate.pem)
        for name, pem in self._challenges.items():
            yield ChallengeChanged(name, pem)

    # What clients want, and what is published.

    def want(self, name: Hostname, source: str) -> None:
        """Get the certificate that a client of a source waits for, or refuse it."""
        found = self.certificates.get(name)
        if found is not None:
            self._tell(CertificateLoaded(name, found.pem))
        elif self.source is None:
            self.refuse(name, "there are no files of it, and no authority is asked")
        else:
            self.source.want(name, source)

    def change(self, delta: RouteDelta) -> None:
        """Get the certificates of names whose TLS ends here now."""
        if self.source is not None:
            names = (each.name for each in delta.routes if each.tls_mode is TlsMode.TERMINATE)
            self.source.consider(map(Hostname, names))

    @override
    def on_admitted(self, session: Session) -> None:
        self._consider(session.services)

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        self._consider(session.services - before)

    @override
    def on_going_away(self, session: Session) -> None:
        return

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        return

    def _consider(self, services: Collection[ServiceKey]) -> None:
        if self.source is not None:
            names = (each.name for each in services if each.kind is ServiceKind.HTTPS)
            self.source.consider(map(Hostname, names))

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
            else:
                self._load(found)
        for found in [each for each in self._ended.values() if each.not_after > now]:
            self._load(found)
        for found in [each for each in self.certificates.values() if each.not_after <= now]:
            log.warning("certificate.expired", name=found.name)
            self._remove(found.name)
            self._ended[found.name] = found

    def _load(self, certificate: Certificate) -> None:
        self._ended.pop(certificate.name, None)
        self.certificates[certificate.name] = certificate
        self._tell(CertificateLoaded(certificate.name, certificate.pem))
        expires_at = certificate.not_after.isoformat()
        log.info("certificate.loaded", name=certificate.name, expires_at=expires_at)

    def _remove(self, name: Hostname) -> None:
        self._ended.pop(name, None)
        if self.certificates.pop(name, None) is not None:
            self._tell(CertificateRemoved(name))
