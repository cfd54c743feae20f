"""Services of an agent: what it publishes, and the origin of each."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, override

from towonel.agent.core.origin_table import OriginTable
from towonel.wire.addresses import format_address
from towonel.wire.names import ServiceKey
from towonel.wire.policy.client_networks import ClientNetworks
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
    """

    host: str
    port: int
    proxy_protocol: ProxyProtocol
    idle_timeout_s: int = 0

    @override
    def __str__(self) -> str:
        return format_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Service:
    """Service of the environment; one of tcp has a public port, one of https a hostname."""

    key: ServiceKey
    origin: Origin
    tls_mode: TlsMode = TlsMode.PASSTHROUGH
    port: PublicPort | None = None
    clients: ClientNetworks | None = None  # that edges let through; all without


def can_be_announced(services: Collection[Service]) -> bool:
    """Tell whether a session can begin with so many services of such names."""
    bytes_of_names = sum(len(each.key.name.encode()) + _BYTES_BESIDE_NAME for each in services)
    return len(services) <= MAX_SERVICES and bytes_of_names <= MAX_NAMES_BYTES


def find_conflicts(https: Sequence[Service], tcp: Sequence[Service]) -> Iterator[str]:
    """Yield what is wrong with TCP services beside the HTTPS services of the same agent, and with all of them."""
    hostnames = {service.key.name for service in https}
    for number, service in enumerate(tcp):
        name = service.key.name
        if name.lower() in hostnames:
            yield f"[{number}] ({name}).name: is a hostname of an HTTPS service, too; give it another"
    count = len(https) + len(tcp)
    if count > MAX_SERVICES:
        yield f"has too many services: {count} of https and tcp, at most {MAX_SERVICES} are taken; use two groups"
    elif not can_be_announced((*https, *tcp)):
        limit = f"at most {MAX_NAMES_BYTES // 1024} KiB are taken"
        yield f"has names that are too long in all: {limit}; shorten them, or use two groups"


def tabulate_origins(services: Iterable[Service]) -> OriginTable[Origin]:
    """Return the table of the origins of services."""
    return OriginTable({service.key: service.origin for service in services})


def describe_service(service: Service) -> str:
    """Return what a service is published as, and what its clients reach, for a person to read."""
    origin, public = service.origin, "" if service.port is None else f", public port {service.port}"
    proxy = "without PROXY header" if origin.proxy_protocol is ProxyProtocol.NONE else "PROXY v2"
    idle = f", idle for {origin.idle_timeout_s} s at most" if origin.idle_timeout_s else ""
    return f"{service.key}{public}: origin {origin}, {proxy}{idle}"
