"""Public ports that are kept for tenants."""

from http import HTTPMethod

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


class PortCalls(HubTransport):
    """Reservations, with the operator key or an API key; errors as in `HubClient`."""

    async def list_ports(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
        protocol: Protocol | None = None,
    ) -> ReservationPage:
        query = {"limit": limit, "cursor": cursor, "tenant_id": tenant_id, "protocol": protocol}
        return await self._json(
            ReservationPage, self._with_key(HTTPMethod.GET, _PORTS, query=query)
        )

    async def reserve_ports(
        self, wanted: ReservationIn, *, idempotency_key: str | None = None
    ) -> Reservation:
        """Keep ports for a tenant. Denied PORT_CONFLICT or QUOTA_EXCEEDED."""
        call = self._with_key(
            HTTPMethod.POST,
            _PORTS,
            wanted.model_dump_json(exclude_none=True).encode(),
            also={"idempotency-key": idempotency_key},
        )
        return await self._json(Reservation, call)

    async def get_port_reservation(self, reservation_id: str) -> Reservation:
        call = self._with_key(HTTPMethod.GET, paths.by_id(_PORTS, reservation_id))
        return await self._json(Reservation, call)

    async def release_ports(self, reservation_id: str) -> ReleasedOut:
        """Keep ports no more; services on them stay."""
        call = self._with_key(HTTPMethod.DELETE, paths.by_id(_PORTS, reservation_id))
        return await self._json(ReleasedOut, call)

    async def available_ports(self, protocol: Protocol, count: int = 1) -> AvailablePorts:
        """Ask for the lowest ports that nobody has; fewer than `count` where there are no more."""
        query = {"protocol": protocol, "count": count}
        call = self._with_key(HTTPMethod.GET, f"{_PORTS}/available", query=query)
        return await self._json(AvailablePorts, call)
