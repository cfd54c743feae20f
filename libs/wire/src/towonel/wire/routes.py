"""Routes and their codec between hub and edges: a snapshot, or a delta since a revision.

A range of ports is one route at the hub and on the way to edges, whose tables have one for each of its ports.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from itertools import batched, islice
from typing import cast

from towonel.wire import cbor
from towonel.wire.addresses import LAST_PORT
from towonel.wire.cbor import Fields, field_error
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import ID_BYTES, TenantId
from towonel.wire.names import MAX_HOSTNAME_CHARS, ServiceKey, ServiceKind, parse_service_key
from towonel.wire.policy.client_networks import ClientNetworks, make_networks
from towonel.wire.policy.port_ranges import (
    find_range_problem,
    format_ports,
    parse_range,
)
from towonel.wire.policy.tenant_limits import TenantLimits, decode_limits, encode_limits

FORMAT_VERSION = 1
CHANGES_CHANNEL = "towonel:routes"  # of Redis, on which hubs publish each new revision, in decimal
MAX_DELTA_BYTES = 64 * 1024 * 1024  # a snapshot of 100 000 routes takes about 15 MiB
MAX_ITEMS = 1_000_000
TAG_BYTES = 8
ROUTES_PER_CHUNK = 500  # some 60 KiB; encoding them takes about a millisecond
_RANGE = "_range"  # ends the kind of a range: an edge of an older version knows no such kind, and leaves it out


class TlsMode(StrEnum):
    """Mode of TLS for a hostname: where it is terminated."""

    PASSTHROUGH = "passthrough"
    TERMINATE = "terminate"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Route:
    """Route from a public name or port to a tenant's service, for clients of all networks, or of some.

    With `last_port` it is for a range of ports, both ends included. With `http2` its origins speak HTTP/2 as well as
    HTTP/1.1 inside the TLS that ends at the edge.
    """

    kind: ServiceKind
    name: str
    tenant_id: TenantId
    port: int | None = None
    tls_mode: TlsMode = TlsMode.PASSTHROUGH
    clients: ClientNetworks | None = None
    last_port: int | None = None
    http2: bool = False

    @property
    def service(self) -> ServiceKey:
        """The service that agents announce for this route."""
        return _service(self.kind, self.name)

    @property
    def key(self) -> str:
        """The public part of this route: `https:app.example.eu`, `tcp:2222`, `udp:27015-27030`."""
        if self.port is None:
            return f"{self.kind}:{self.name}"
        return f"{self.kind}:{format_ports(self.port, self.last_port or self.port)}"

    @property
    def ports(self) -> range:
        """The public ports; none of a hostname."""
        first = self.port or 0
        return range(first, (self.last_port or first) + 1 if first else 0)


_service = lru_cache(maxsize=4096)(ServiceKey)  # one object for all clients of a route


@dataclass(frozen=True, slots=True)
class RouteDelta:
    """Delta that leads to `revision`; a snapshot replaces everything, blocked tenants and limits included.

    `tag` is random for each revision. A database that was put back to an older copy uses its numbers
    again, for other changes: then the tag differs. It is None from a hub of an older version.
    `limits` are those of tenants that changed; a tenant without any in a delta has none any more.
    `edge_list` is another one as soon as the hub lists other edges; None from a hub of an older version.
    """

    revision: int
    snapshot: bool
    routes: tuple[Route, ...] = ()
    removed: tuple[str, ...] = ()
    blocked: tuple[TenantId, ...] = ()
    unblocked: tuple[TenantId, ...] = ()
    tag: bytes | None = None
    limits: Mapping[TenantId, TenantLimits] = field(
        default_factory=dict[TenantId, TenantLimits], hash=False
    )
    edge_list: bytes | None = None


def encode_delta(delta: RouteDelta) -> bytes:
    """Return the delta as CBOR."""
    return b"".join(delta_chunks(delta))


def delta_chunks(delta: RouteDelta, routes_per_chunk: int = ROUTES_PER_CHUNK) -> Iterator[bytes]:
    """Yield the delta as CBOR, in pieces, so that a large one delays no other request."""
    fields: dict[str, object] = {
        "v": FORMAT_VERSION,
        "revision": delta.revision,
        "snapshot": delta.snapshot,
        "removed": list(delta.removed),
        "blocked": list(delta.blocked),
        "unblocked": list(delta.unblocked),
    }
    if delta.tag is not None:
        fields["tag"] = delta.tag
    if delta.edge_list is not None:
        fields["edge_list"] = delta.edge_list
    if delta.limits:
        fields["limits"] = encode_limits(delta.limits)
    head = b"".join(cbor.encode(name) + cbor.encode(value) for name, value in fields.items())
    routes = cbor.encode("routes") + cbor.array_head(len(delta.routes))
    yield cbor.map_head(len(fields) + 1) + head + routes
    for some in batched(delta.routes, routes_per_chunk, strict=False):
        yield b"".join(cbor.encode(_encode_route(route)) for route in some)


def decode_delta(data: bytes) -> RouteDelta:
    """Return the delta that `data` holds, with one route for each port of a range.

    Routes of a kind, a mode or a form of name that is unknown here are left out: a newer hub may
    have them, and all other routes matter more. So are those whose networks of clients are, or whose range of ports.

    Raises:
        ProtocolError: TOO_LARGE above 64 MiB or a million ports, UNSUPPORTED_VERSION, or MALFORMED.
    """
    if len(data) > MAX_DELTA_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"routes of {len(data)} bytes")
    fields = Fields.of(cbor.decode(data))
    if fields.uint("v") != FORMAT_VERSION:
        raise ProtocolError(Code.UNSUPPORTED_VERSION, f"routes of version {fields.uint('v')}")
    routes = (_decode_route(Fields.of(item)) for item in fields.items("routes", MAX_ITEMS))
    found = (route for route in routes if route is not None)
    return RouteDelta(
        fields.uint("revision"),
        fields.flag("snapshot"),
        _take_bounded(each for route in found for each in _split_range(route)),
        _take_bounded(
            each for key in _read_texts(fields, "removed") for each in _split_range_key(key)
        ),
        _read_tenants(fields, "blocked"),
        _read_tenants(fields, "unblocked"),
        fields.octets("tag", TAG_BYTES) if "tag" in fields.values else None,
        decode_limits(fields.items("limits", MAX_ITEMS) if "limits" in fields.values else ()),
        fields.octets("edge_list", TAG_BYTES) if "edge_list" in fields.values else None,
    )


def _encode_route(route: Route) -> dict[str, object]:
    value: dict[str, object] = {"kind": str(route.kind), "name": route.name}
    if route.port is not None:
        value["port"] = route.port
    if route.last_port is not None:
        value |= {"kind": f"{route.kind}{_RANGE}", "last_port": route.last_port}
    if route.kind is ServiceKind.HTTPS:
        value["tls"] = str(route.tls_mode)
    if route.http2:
        value["http2"] = True
    if route.clients is not None:
        value["allow"], value["deny"] = list(route.clients.allow), list(route.clients.deny)
    return {**value, "tenant": route.tenant_id}


def _decode_route(fields: Fields) -> Route | None:
    form = fields.text("kind", 16)
    kind = form.removesuffix(_RANGE)
    mode = fields.text("tls", 16) if "tls" in fields.values else TlsMode.PASSTHROUGH
    tenant = TenantId(fields.octets("tenant", ID_BYTES))
    port, last_port = _read_port(fields, "port"), _read_port(fields, "last_port")
    name = fields.text("name", MAX_HOSTNAME_CHARS)
    allow, deny = _read_cidrs(fields, "allow"), _read_cidrs(fields, "deny")
    if kind not in ServiceKind or mode not in TlsMode:
        return None
    try:
        service = parse_service_key(ServiceKind(kind), name)
        clients = make_networks(allow, deny)
    except ProtocolError:
        return None
    if (port is None) is not (service.kind is ServiceKind.HTTPS):
        raise field_error("port", "belongs to tcp and udp, and to them always")
    if (last_port is None) is not (form == kind):
        raise field_error("last_port", "belongs to ranges of ports, and to them always")
    if last_port is not None and find_range_problem(port or 0, last_port):
        return None
    http2 = "http2" in fields.values and fields.flag("http2")
    return Route(service.kind, service.name, tenant, port, TlsMode(mode), clients, last_port, http2)


def _split_range(route: Route) -> Iterable[Route]:
    if route.last_port is None:
        return (route,)
    return (replace(route, port=port, last_port=None) for port in route.ports)


def _split_range_key(key: str) -> Iterable[str]:
    """Return the keys of the ports of a range; any other key alone."""
    kind, _, ports = key.partition(":")
    found = parse_range(ports) if kind in {ServiceKind.TCP, ServiceKind.UDP} else None
    if found is None:
        return (key,)
    return (f"{kind}:{port}" for port in range(found[0], found[1] + 1))


def _take_bounded[T](items: Iterable[T]) -> tuple[T, ...]:
    taken = tuple(islice(items, MAX_ITEMS + 1))
    if len(taken) > MAX_ITEMS:
        raise ProtocolError(
            Code.TOO_LARGE, f"more than {MAX_ITEMS} routes, a range counts its ports"
        )
    return taken


def _read_port(fields: Fields, name: str) -> int | None:
    return fields.uint(name, LAST_PORT) if name in fields.values else None


def _read_cidrs(fields: Fields, name: str) -> tuple[str, ...]:
    return _read_texts(fields, name) if name in fields.values else ()


def _read_texts(fields: Fields, name: str) -> tuple[str, ...]:
    items = fields.items(name, MAX_ITEMS)
    if not all(isinstance(item, str) for item in items):
        raise field_error(name, "must be texts")
    return cast("tuple[str, ...]", tuple(items))


def _read_tenants(fields: Fields, name: str) -> tuple[TenantId, ...]:
    items = fields.items(name, MAX_ITEMS)
    if not all(isinstance(item, bytes) and len(item) == ID_BYTES for item in items):
        raise field_error(name, f"must be {ID_BYTES} bytes each")
    return cast("tuple[TenantId, ...]", tuple(items))
