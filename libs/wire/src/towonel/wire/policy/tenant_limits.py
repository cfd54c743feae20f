"""Limits of tenants, as edges keep them, and their codec in a delta of routes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from towonel.wire.cbor import Fields
from towonel.wire.ids import ID_BYTES, TenantId

MAX_LIMIT: Final = 10**12  # of any: bits a second that no edge carries


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of one tenant at each edge; None is no limit but the edge's own.

    Args:
        connections: clients at once.
        connection_rate: new clients a second, and as many at once after a second without any.
        bandwidth: bits a second, both ways together.
    """

    connections: int | None = None
    connection_rate: int | None = None
    bandwidth: int | None = None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS: Final = TenantLimits()
_NAMES: Final = tuple(each.name for each in fields(TenantLimits))


def encode_limits(limits: Mapping[TenantId, TenantLimits]) -> list[dict[str, object]]:
    """Return limits as items of CBOR; those of a tenant without any say that it has none any more."""
    return [{"tenant": tenant_id, **_encode(each)} for tenant_id, each in limits.items()]


def decode_limits(items: Iterable[object]) -> dict[TenantId, TenantLimits]:
    """Return the limits that items hold.

    Raises:
        ProtocolError: MALFORMED.
    """
    found: dict[TenantId, TenantLimits] = {}
    for item in items:
        values = Fields.of(item)
        read = {name: values.uint(name, MAX_LIMIT) for name in _NAMES if name in values.values}
        found[TenantId(values.octets("tenant", ID_BYTES))] = TenantLimits(**read)
    return found


def _encode(limits: TenantLimits) -> dict[str, int]:
    values = {name: getattr(limits, name) for name in _NAMES}
    return {name: value for name, value in values.items() if value is not None}
