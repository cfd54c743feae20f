"""Client of the reservations of public ports."""

from towonel.api.ports import (
    AvailablePorts,
    Protocol,
    ReleasedOut,
    Reservation,
    ReservationIn,
    ReservationPage,
)
from towonel.client import paths
from towonel.client.transport import HubTransport

_PORTS = "/v1/ports"


class Ports:
    """Client of `/v1/ports`: public ports reserved for tenants."""

    def __init__(self, hub: HubTransport) -> None:
        self._hub = hub

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: bytes | str | None = None,
        protocol: Protocol | None = None,
    ) -> ReservationPage:
        query = {"limit": limit, "cursor": cursor, "tenant_id": tenant_id, "protocol": protocol}
        return await self._hub.get(ReservationPage, _PORTS, query)

    async def reserve(
        self, reservation: ReservationIn, *, idempotency_key: str | None = None
    ) -> Reservation:
        """Reserve ports for a tenant. Denied PORT_CONFLICT or QUOTA_EXCEEDED."""
        return await self._hub.post(
            Reservation, _PORTS, reservation, idempotency_key=idempotency_key
        )

    async def get(self, reservation_id: str) -> Reservation:
        return await self._hub.get(Reservation, paths.by_id(_PORTS, reservation_id))

    async def release(self, reservation_id: str) -> ReleasedOut:
        """Release ports; services on them stay."""
        return await self._hub.delete(ReleasedOut, paths.by_id(_PORTS, reservation_id))

    async def available(self, protocol: Protocol, count: int = 1) -> AvailablePorts:
        """Return the lowest free ports; fewer than `count` if there are no more."""
        query = {"protocol": protocol, "count": count}
        return await self._hub.get(AvailablePorts, f"{_PORTS}/available", query)
