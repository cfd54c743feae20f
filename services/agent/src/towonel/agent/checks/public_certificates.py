"""Check of public certificates: that clients of a service see its origin's, so that nobody on the way ends their TLS.

name ──▶ DNS ──▶ each public address ──▶ edge ──▶ this agent ──▶ origin ──▶ certificate ──┐
origin, asked directly ──▶ certificate ──────────────────────────────────────────────────┴──▶ the same?
"""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterable
from copy import replace
from random import Random, SystemRandom
from typing import Final

import structlog
from cryptography import x509

from towonel.agent.core.publication import format_names
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.timing import PublicTiming
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import SocketAddress
from towonel.runtime.logs import describe_error
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.routes import TlsMode

MAX_ADDRESSES: Final = 8  # of one name
MAX_AT_ONCE: Final = 8
RECEIVE_BYTES: Final = 16_384
TRIES: Final = 3  # replicas of an origin, or a renewal, may have two certificates for a moment
CERTIFICATES: Final = "public certificates"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Mismatch(Exception):
    """Clients see another certificate than the origin's."""


class PublicCertificates:
    """Checker of the certificates that clients see.

    Args:
        services: of the agent; those whose TLS ends at the origin are checked.
        port: that clients connect to.
        dialer: of origins, which resolves public names, too.
        health: says which differ.
        metrics: count names by what was found.
        timing: of the checks.

    Attributes:
        observe: is called when other services than before have a mismatch.
    """

    def __init__(
        self,
        services: Iterable[Service],
        port: int,
        dialer: OriginDialer,
        health: Health,
        metrics: Metrics,
        timing: PublicTiming,
        rng: Random | None = None,
    ) -> None:
        self._port = port
        self._dialer = dialer
        self._health = health
        self._states = metrics.public_certificates
        self._timing = timing
        self._rng = rng or SystemRandom()
        self._services: dict[ServiceKey, Service] = {}
        self._mismatches: dict[ServiceKey, str] = {}
        self._unknown: dict[ServiceKey, str] = {}
        self._same: set[ServiceKey] = set()
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._changed = asyncio.Event()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # who signed it is between clients and the origin
        self.observe: Callable[[], None] = _ignore
        self.change(services)

    @property
    def mismatches(self) -> list[str]:
        """Services whose clients see another certificate than the origin's: `https:app.example.eu`."""
        return sorted(map(str, self._mismatches))

    def change(self, services: Iterable[Service]) -> None:
        """Check these services from now on, and no others."""
        self._services = {each.key: each for each in services if _is_checked(each)}
        for known in (self._mismatches, self._unknown):
            for key in known.keys() - self._services.keys():
                del known[key]
        self._same &= self._services.keys()
        self._changed.set()
        self._report()

    async def run(self) -> None:
        """Check until cancelled: all of them now and then, sooner what could not be seen."""
        while True:
            self._changed.clear()
            services = tuple(self._services.values())
            before = self.mismatches
            async with asyncio.TaskGroup() as tasks:
                for service in services:
                    tasks.create_task(self._check(service))
            if self.mismatches != before:
                self.observe()
            timing = self._timing
            pause_s = timing.retry_s if self._unknown or self._mismatches else timing.every_s
            try:
                async with asyncio.timeout(pause_s * self._rng.uniform(0.8, 1.2)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _check(self, service: Service) -> None:
        async with self._places:
            try:
                async with asyncio.timeout(self._timing.timeout_s):
                    await self._compare(service)
            except Mismatch as found:
                self._record(service, mismatch=str(found))
            except TimeoutError:
                self._record(service, unknown=f"no answer in {self._timing.timeout_s:g} s")
            except (OSError, ValueError) as error:
                self._record(service, unknown=describe_error(error))
            else:
                self._record(service)

    def _record(self, service: Service, *, mismatch: str = "", unknown: str = "") -> None:
        key = service.key
        if self._services.get(key) is not service:
            return  # it has changed meanwhile
        name, was_mismatch = key.name, self._mismatches.pop(key, "")
        was_unknown, was_same = self._unknown.pop(key, ""), key in self._same
        self._same.discard(key)
        if mismatch:
            self._mismatches[key] = mismatch
            if mismatch != was_mismatch:
                log.error("public_certificate.different", name=name, detail=mismatch)
        elif unknown:
            self._unknown[key] = unknown
            if unknown != was_unknown:
                log.warning("public_certificate.unseen", name=name, detail=unknown)
        else:
            self._same.add(key)
            if not was_same:
                log.info("public_certificate.same", name=name)
        self._report()

    def _report(self) -> None:
        for state, keys in (
            ("same", self._same),
            ("different", self._mismatches),
            ("unseen", self._unknown),
        ):
            self._states.labels(state).set(len(keys))
        names = format_names(sorted(self._mismatches.values()))
        reason = f"clients do not see the origin's certificate: {names}"
        self._health.set_degraded(CERTIFICATES, reason=reason if self._mismatches else None)

    async def _compare(self, service: Service) -> None:
        """Compare what clients see at each address with what the origin has.

        Raises:
            Mismatch: they differ.
            OSError: one of them cannot be seen.
        """
        name = service.key.name.replace("*", "check", 1)
        for address in (await self._dialer.resolver.resolve(name, self._port))[:MAX_ADDRESSES]:
            await self._compare_at(service, name, address)

    async def _compare_at(self, service: Service, name: str, address: SocketAddress) -> None:
        seen = held = b""
        public = Origin(address[0], self._port, ProxyProtocol.NONE)
        for _ in range(TRIES):
            seen = await self._read(await self._dialer.connect(public), name)
            held = await self._read_origin(service, name)
            if seen == held:
                return
        where = f"[{address[0]}]" if ":" in address[0] else address[0]
        raise Mismatch(f"{name} at {where}: {_describe(seen)}, the origin's is {_describe(held)}")

    async def _read_origin(self, service: Service, name: str) -> bytes:
        origin = replace(service.origin, last_port=None)
        return await self._read(await self._dialer.connect_as_nobody(origin), name)

    async def _read(self, sock: socket.socket, name: str) -> bytes:
        """Return the certificate that a server has for a name, in DER."""
        loop, received, to_send = asyncio.get_running_loop(), ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._tls.wrap_bio(received, to_send, server_hostname=name)
        with sock:
            while not _shake_hands(tls):
                await loop.sock_sendall(sock, to_send.read())
                data = await loop.sock_recv(sock, RECEIVE_BYTES)
                if not data:
                    raise ConnectionError(f"{name}: closed within the handshake")
                received.write(data)
            await loop.sock_sendall(
                sock, to_send.read()
            )  # else the server reports a handshake that failed
        found = tls.getpeercert(binary_form=True)
        if found is None:
            raise ConnectionError(f"{name}: a server without a certificate")
        return found


def _shake_hands(tls: ssl.SSLObject) -> bool:
    """Go on with a handshake, and return whether it is over; else more is to be received."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _describe(certificate: bytes) -> str:
    """Describe a certificate as people look for it: by its fingerprint, and who signed it."""
    digest = hashlib.sha256(certificate).hexdigest()
    try:
        issuer = x509.load_der_x509_certificate(certificate).issuer.rfc4514_string()
    except ValueError:
        issuer = "nobody known"
    return f"SHA-256 {digest} by {issuer[:100]!r}"


def _is_checked(service: Service) -> bool:
    return service.key.kind is ServiceKind.HTTPS and service.tls_mode is TlsMode.PASSTHROUGH


def _ignore() -> None:
    """Tell nobody."""
