"""Services of an agent: what it publishes, and the origin of each."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, override

from towonel.agent.core.checks.origin_check import OriginCheck
from towonel.agent.core.origin_table import OriginTable
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.api.services import AUTO
from towonel.wire.addresses import format_address
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.policy.port_ranges import format_ports
from towonel.wire.routes import TlsMode

MAX_SERVICES = 1_000  # what a session's Hello takes, and of its 64 KiB names may take
MAX_NAMES_BYTES = 60 * 1024
_BYTES_BESIDE_NAME = 9  # in CBOR: an array, its kind, and the length of the name

type PublicPort = int | Literal["auto"]  # which is one that the hub chooses


class ProxyProtocol(StrEnum):
    """PROXY protocol that tells an origin the client's address."""

    NONE = "none"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a service, as the agent dials it.

    Args:
        host: a name, or an address without brackets.
        port: of the host.
        proxy_protocol: what it gets in front of a client's bytes.
        idle_timeout_s: for which a client may send and get nothing; 0 is for ever.
        max_unanswered_bytes: that it may send to a UDP client since that one was last heard; 0 of other services.
        last_port: of a range, of which `port` is the first: each client gets the port that it used.
        gets_plaintext: whether an edge ends the TLS of its clients.
        tls: that the agent speaks to it; None for none.
        http: host and port that challenges of authorities are asked of, if not of port 80 of the host.
    """

    host: str
    port: int
    proxy_protocol: ProxyProtocol
    idle_timeout_s: int = 0
    max_unanswered_bytes: int = 0
    last_port: int | None = None
    gets_plaintext: bool = False
    tls: OriginTls | None = None
    http: tuple[str, int] | None = None

    @property
    def ports(self) -> tuple[int, int] | None:
        """First and last of a range; None of a single port."""
        return None if self.last_port is None else (self.port, self.last_port)

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{format_ports(self.port, self.last_port or self.port)}"


@dataclass(frozen=True, slots=True)
class Service:
    """Service of the environment; one of tcp or udp has a public port, or those up to `last_port`."""

    key: ServiceKey
    origin: Origin
    tls_mode: TlsMode = TlsMode.PASSTHROUGH
    port: PublicPort | None = None
    clients: ClientNetworks | None = None  # that edges let through; all without
    last_port: int | None = None
    check: OriginCheck | None = None
    is_sticky: bool = False  # whether a client stays with one agent
    http2: bool = False  # whether the origin speaks it as well, inside TLS that ends at the edge

    @property
    def ports(self) -> str | None:
        """The public port or ports, for a person to read; None of a hostname."""
        if self.last_port is None or self.port is None or self.port == AUTO:
            return None if self.port is None else str(self.port)
        return format_ports(self.port, self.last_port)


def can_be_announced(services: Collection[Service]) -> bool:
    """Tell whether a session can begin with so many services of such names."""
    bytes_of_names = sum(len(each.key.name.encode()) + _BYTES_BESIDE_NAME for each in services)
    return len(services) <= MAX_SERVICES and bytes_of_names <= MAX_NAMES_BYTES


def find_conflicts(https: Sequence[Service], ports: Sequence[Service]) -> Iterator[str]:
    """Yield what is wrong with names of TCP or UDP services beside the HTTPS services of the same agent."""
    hostnames = {service.key.name for service in https}
    for number, service in enumerate(ports):
        name = service.key.name
        if name.lower() in hostnames:
            yield f"[{number}] ({name}).name: is a hostname of an HTTPS service, too; give it another"


def find_excess(services: Collection[Service]) -> str | None:
    """Return what is wrong with the services of all kinds together, if they are too many."""
    count = len(services)
    if count > MAX_SERVICES:
        limit = f"at most {MAX_SERVICES} are taken"
        return f"has too many services: {count} of https, tcp and udp, {limit}; use two groups"
    if not can_be_announced(services):
        limit = f"at most {MAX_NAMES_BYTES // 1024} KiB are taken"
        return f"has names that are too long in all: {limit}; shorten them, or use two groups"
    return None


def select_streams(services: Iterable[Service]) -> tuple[Service, ...]:
    """Return the services whose clients connect: of all kinds but udp, whose clients send datagrams."""
    return tuple(service for service in services if service.key.kind is not ServiceKind.UDP)


def select_flows(services: Iterable[Service]) -> tuple[Service, ...]:
    """Return the services of udp."""
    return tuple(service for service in services if service.key.kind is ServiceKind.UDP)


def tabulate_origins(services: Iterable[Service]) -> OriginTable[Origin]:
    """Return the table of the origins of services whose clients connect."""
    return OriginTable({service.key: service.origin for service in select_streams(services)})


def describe_service(service: Service) -> str:
    """Return what a service is published as, and what its clients reach, for a person to read."""
    word = "port" if service.last_port is None else "ports"
    public = "" if service.port is None else f", public {word} {service.ports}"
    return f"{service.key}{public}: origin {', '.join(_describe_origin(service))}"


def _describe_origin(service: Service) -> Iterator[str]:
    origin = service.origin
    yield str(origin)
    yield from _describe_dial(service)
    if origin.idle_timeout_s:
        yield f"idle for {origin.idle_timeout_s} s at most"
    if origin.max_unanswered_bytes:
        yield f"{origin.max_unanswered_bytes} bytes without an answer at most"
    if service.http2:
        yield "HTTP/2 and HTTP/1.1"
    if service.check is not None:
        yield f"checked by {service.check.kind} every {service.check.interval_s} s"
    if service.is_sticky:
        yield "clients stay with one agent"


def _describe_dial(service: Service) -> Iterator[str]:
    """Yield what an origin gets in front of a client's bytes, and where its challenges go."""
    origin = service.origin
    if service.key.kind is not ServiceKind.UDP:
        is_plain = origin.proxy_protocol is ProxyProtocol.NONE
        yield "without PROXY header" if is_plain else "PROXY v2"
    if origin.tls is not None:
        unverified = "" if origin.tls.is_verified else " (not verified)"
        yield f"TLS with {origin.tls.server_name}{unverified}"
    if origin.http is not None:
        yield f"challenges to {format_address(*origin.http)}"
