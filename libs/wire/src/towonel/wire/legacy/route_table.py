"""The original's route table, which its edges follow as server-sent events.

    routes         {hostname: [agent, …]}
    tls_policies   {policies: {hostname: {mode}}}
    tcp_routes     {{tenant, service}: [agent, …]}: the keys are maps
    tcp_listeners  {port: {tenant, service}}
    udp_routes, udp_listeners: as those of tcp

CBOR, in this order of keys; all but `routes` are left out when empty. The same table gives the same
bytes: inner keys are sorted.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import cbor2

from towonel.wire import cbor
from towonel.wire.cbor import MAX_DEPTH, Fields, malformed
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import ID_BYTES, AgentId, TenantId
from towonel.wire.legacy.ops import EntryTlsMode, read_tls_mode, write_tls_mode
from towonel.wire.names import MAX_HOSTNAME_CHARS, MAX_SERVICE_NAME_BYTES

MAX_TABLE_BYTES = 64 * 1024 * 1024  # as much as routes of our own form may have
MAX_AGENTS = 1000  # of one route
_MAX_PORT = 65_535

type Agents = tuple[AgentId, ...]


@dataclass(frozen=True, slots=True, order=True)
class LegacyService:
    """A tenant's tcp or udp service."""

    tenant_id: TenantId
    name: str


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """Who serves each hostname and service, and which service each port leads to."""

    routes: Mapping[str, Agents] = field(default_factory=dict[str, Agents])
    tls_modes: Mapping[str, EntryTlsMode] = field(default_factory=dict[str, EntryTlsMode])
    tcp_routes: Mapping[LegacyService, Agents] = field(default_factory=dict[LegacyService, Agents])
    tcp_listeners: Mapping[int, LegacyService] = field(default_factory=dict[int, LegacyService])
    udp_routes: Mapping[LegacyService, Agents] = field(default_factory=dict[LegacyService, Agents])
    udp_listeners: Mapping[int, LegacyService] = field(default_factory=dict[int, LegacyService])


def encode_table(table: LegacyTable) -> bytes:
    """Return the table as CBOR; an event carries it as base64url."""
    modes = {name: write_tls_mode(mode) for name, mode in sorted(table.tls_modes.items())}
    optional: dict[str, Mapping[Any, object]] = {
        "tls_policies": {"policies": modes} if modes else {},
        "tcp_routes": _write_routes(table.tcp_routes),
        "tcp_listeners": _write_listeners(table.tcp_listeners),
        "udp_routes": _write_routes(table.udp_routes),
        "udp_listeners": _write_listeners(table.udp_listeners),
    }
    routes = {name: list(agents) for name, agents in sorted(table.routes.items())}
    return cbor.encode({"routes": routes, **{k: v for k, v in optional.items() if v}})


def decode_table(data: bytes) -> LegacyTable:
    """Return the table that `data` holds.

    Raises:
        ProtocolError: TOO_LARGE above 64 MiB, or MALFORMED.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"a table of {len(data)} bytes")
    root = Fields.of(_decode(data)).values
    policies = Fields.of(root.get("tls_policies", {"policies": {}})).values.get("policies")
    return LegacyTable(
        {_hostname(key): _agents(value) for key, value in _pairs(root.get("routes"))},
        {_hostname(key): read_tls_mode(value) for key, value in _pairs(policies)},
        _read_routes(root.get("tcp_routes", {})),
        _read_listeners(root.get("tcp_listeners", {})),
        _read_routes(root.get("udp_routes", {})),
        _read_listeners(root.get("udp_listeners", {})),
    )


def _write_routes(routes: Mapping[LegacyService, Agents]) -> Mapping[Any, object]:
    return {
        cbor2.frozendict(_write_service(service)): list(agents)
        for service, agents in sorted(routes.items())
    }


def _write_listeners(listeners: Mapping[int, LegacyService]) -> Mapping[Any, object]:
    return {port: _write_service(service) for port, service in sorted(listeners.items())}


def _write_service(service: LegacyService) -> Mapping[str, object]:
    return {"tenant": service.tenant_id, "service": service.name}


def _decode(data: bytes) -> object:
    # Not `cbor.decode`, which refuses keys that are not texts: here some are maps and numbers.
    stream = io.BytesIO(data)
    try:
        item: object = cbor2.CBORDecoder(
            stream, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False
        ).decode()
    except Exception as error:  # tags decode to many types, and fail in as many ways
        raise ProtocolError(Code.MALFORMED, f"not CBOR: {type(error).__name__}") from error
    if stream.tell() != len(data):
        raise ProtocolError(Code.MALFORMED, f"{len(data) - stream.tell()} bytes after the item")
    return item


def _pairs(item: object) -> Iterable[tuple[object, object]]:
    return cast("Mapping[object, object]", Fields.of(item).values).items()


def _hostname(item: object) -> str:
    return Fields({"hostname": item}).text("hostname", MAX_HOSTNAME_CHARS)


def _agents(item: object) -> Agents:
    items = Fields({"agents": item}).items("agents", MAX_AGENTS)
    return tuple(AgentId(Fields({"agent": one}).octets("agent", ID_BYTES)) for one in items)


def _service(item: object) -> LegacyService:
    if not isinstance(item, Mapping):
        raise malformed("service", "must be a map")
    fields = Fields(cast("Mapping[str, Any]", item))
    tenant_id = TenantId(fields.octets("tenant", ID_BYTES))
    return LegacyService(tenant_id, fields.text("service", MAX_SERVICE_NAME_BYTES))


def _read_routes(item: object) -> Mapping[LegacyService, Agents]:
    return {_service(key): _agents(value) for key, value in _pairs(item)}


def _read_listeners(item: object) -> Mapping[int, LegacyService]:
    return {
        Fields({"port": key}).uint("port", _MAX_PORT): _service(value)
        for key, value in _pairs(item)
    }
