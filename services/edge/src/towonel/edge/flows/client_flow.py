"""Flow of one client of a UDP service, as the edge knows it."""

from typing import TYPE_CHECKING, Final, NamedTuple

from towonel.relay.flows.outbox import Outbox
from towonel.relay.flows.sockets import Endpoint
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey
from towonel.wire.policy.client_networks import ClientNetworks

if TYPE_CHECKING:
    from towonel.edge.flows.sessions import AgentSession

OPENING_IDLE_S: Final = 60.0  # until the agent says how long a flow may be idle


class PortRoute(NamedTuple):
    """Route of a port."""

    service: ServiceKey
    tenant_id: TenantId
    clients: ClientNetworks | None = None


class FlowKey(NamedTuple):
    """Key of a flow: the port that a client sends to, and where from."""

    port: int
    client: Endpoint


class ClientFlow:
    """Flow of a client.

    Args:
        key: of the flow.
        outbox: of the port.
        session: that it is on.
        service, tenant_id: of the route.
        source: of the client, as limits count it.
        preamble: says all of this to the agent.

    Attributes:
        number: of the session's flows.
        counted_as: its service, as counters name it.
        is_open: whether the agent has said that it knows the flow.
        used_at, idle_s: as of `FlowTable`.
    """

    def __init__(
        self,
        key: FlowKey,
        outbox: Outbox,
        session: "AgentSession",
        service: ServiceKey,
        tenant_id: TenantId,
        source: str,
        preamble: bytes,
    ) -> None:
        self.key = key
        self.outbox = outbox
        self.session = session
        self.service = service
        self.tenant_id = tenant_id
        self.counted_as = tenant_id, str(service)
        self.source = source
        self.preamble = preamble
        self.number = session.add(self)
        self.is_open = False
        self.used_at = 0.0
        self.idle_s = OPENING_IDLE_S

    @property
    def owner(self) -> bytes:
        """The tenant, as of `FlowTable`."""
        return self.tenant_id
