"""Encoder of the original's route table, which its edges follow as server-sent events.

    routes         {hostname: [agent, …]}
    tls_policies   {policies: {hostname: {mode}}}
    tcp_routes     {{tenant, service}: [agent, …]}: the keys are maps
    tcp_listeners  {port: {tenant, service}}
    udp_routes, udp_listeners: as those of tcp

CBOR, in this order of keys; all but `routes` are left out when empty. The same table gives the same
bytes: inner keys are sorted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2

from towonel.wire import cbor
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.ops import EntryTlsMode, write_tls_mode

MAX_TABLE_BYTES = 64 * 1024 * 1024  # as much as routes of our own form may have

type Agents = tuple[AgentId, ...]


@dataclass(frozen=True, slots=True, order=True)
class LegacyService:
    """Key of a tenant's tcp or udp service."""

    tenant_id: TenantId
    name: str


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """Route table: the agents of each hostname and service, and the service of each port."""

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


def _write_routes(routes: Mapping[LegacyService, Agents]) -> Mapping[Any, object]:
    return {
        cbor2.frozendict(_write_service(service)): list(agents)
        for service, agents in sorted(routes.items())
    }


def _write_listeners(listeners: Mapping[int, LegacyService]) -> Mapping[Any, object]:
    return {port: _write_service(service) for port, service in sorted(listeners.items())}


def _write_service(service: LegacyService) -> Mapping[str, object]:
    return {"tenant": service.tenant_id, "service": service.name}
