"""Settlement of the ports that a desired state leaves to the hub."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.context import Hub
from towonel.hub.core.port_choice import PortOffer, choose_ports, name_ports, needs_port
from towonel.hub.operations.register_edge import find_edge_ports
from towonel.hub.store import ports, routes
from towonel.wire.ids import TenantId
from towonel.wire.routes import Route


async def settle_ports(
    hub: Hub,
    session: AsyncSession,
    tenant_id: TenantId,
    group: str,
    desired_routes: Sequence[Route],
) -> Sequence[Route]:
    """Return the desired routes of a group with all their ports; they hold while the transaction does.

    Raises:
        Denied: PORT_CONFLICT, naming every service for which there is no port.
    """
    kinds = {route.kind for route in desired_routes if needs_port(route)}
    if not kinds:
        return desired_routes
    own = await routes.find_published(session, tenant_id, group)
    siblings = await routes.find_siblings(session, tenant_id, group)
    rows = await ports.list_of_tenant(session, tenant_id)
    reserved, taken = [ports.range_of(row) for row in rows], set[str]()
    edge_ports = await find_edge_ports(hub, session)
    for kind in kinds:
        taken |= {f"{kind}:{port}" for port in edge_ports}
        held = [it for it in reserved if it.protocol == kind]
        if held:
            first, last = min(it.first for it in held), max(it.last for it in held)
            published = await ports.find_published(session, kind.value, first, last)
            taken |= {f"{kind}:{port}" for it in published for port in range(it.first, it.last + 1)}
    # A port that only this group publishes is free as soon as the request is applied.
    free = {port for key, it in own.items() if key not in siblings for port in name_ports(it)}
    elsewhere = [route for _, route in await ports.find_elsewhere(session, tenant_id, group)]
    offer = PortOffer(own.values(), reserved, taken - free, elsewhere)
    return choose_ports(desired_routes, offer, hub.policy.ports)
