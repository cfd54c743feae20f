"""Sessions of agents as the flow worker knows them, by tenant and service, and by the index of their secrets."""

import math
import secrets
from collections.abc import Collection, Iterator
from copy import replace
from typing import TYPE_CHECKING, Final

from towonel.edge.core.balance import Balancer
from towonel.edge.flows.messages import SessionAdmitted, SessionServices
from towonel.identity.datagrams import DatagramEnd
from towonel.relay.flows.session import DatagramLoss, FlowSession, Transmit
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints

if TYPE_CHECKING:
    from towonel.edge.flows.client_flow import ClientFlow

MAX_FLOW_ID: Final = 0xFFFFFFFF


class AgentSession:
    """Session of one agent; a candidate of the load balancer.

    Args:
        admitted: what control said of it.
        link: seals and opens its packets.

    Attributes:
        flows: by number.
        services: that are reached on it.
        hints: of its agent.
        carried_at: when it got a carrier last.
    """

    def __init__(self, admitted: SessionAdmitted, link: FlowSession) -> None:
        self.session_id = admitted.session_id
        self.tenant_id = TenantId(admitted.tenant_id)
        self.agent_id = admitted.agent_id
        self.group = admitted.group
        self.hints = BalanceHints(admitted.weight)
        self.link = link
        self.going_away = False
        self.flows: dict[int, ClientFlow] = {}
        self.services: set[ServiceKey] = set()
        self.carried_at = -math.inf
        # Not those of a worker before this one: the agent may have flows of that, of other clients.
        self._last_flow = secrets.randbelow(MAX_FLOW_ID)

    @property
    def active(self) -> int:
        """Flows on it now."""
        return len(self.flows)

    @property
    def is_silent(self) -> bool:
        """Whether no packet passes, as far as is known."""
        return not self.link.is_up and self.link.carrier is None

    def add(self, flow: "ClientFlow") -> int:
        """Add a flow, and return its number."""
        number = self._last_flow % MAX_FLOW_ID + 1
        while number in self.flows:
            number = number % MAX_FLOW_ID + 1
        self._last_flow = number
        self.flows[number] = flow
        return number


class AgentSessions:
    """Sessions that the flow worker may use.

    Args:
        balancer: forgets sessions that have ended.
        transmit: sends a packet to an agent.
        loss: counts packets that are dropped.
        is_v6: whether agents' packets come over IPv6.
    """

    def __init__(
        self, balancer: Balancer, transmit: Transmit, loss: DatagramLoss, *, is_v6: bool
    ) -> None:
        self._balancer = balancer
        self._transmit = transmit
        self._loss = loss
        self._is_v6 = is_v6
        self._sessions: dict[bytes, AgentSession] = {}
        self._by_index: dict[int, AgentSession] = {}
        self._serving: dict[tuple[TenantId, ServiceKey], dict[bytes, AgentSession]] = {}

    def __iter__(self) -> Iterator[AgentSession]:
        return iter(self._sessions.values())

    def add(self, admitted: SessionAdmitted, now: float) -> None:
        """Add a session, without a secret yet."""
        link = FlowSession(DatagramEnd.EDGE, now, self._transmit, self._loss, is_v6=self._is_v6)
        self._sessions[admitted.session_id] = AgentSession(admitted, link)

    def add_secret(self, session_id: bytes, index: int, secret: bytes) -> None:
        """Take packets of a session under a secret, too."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._by_index[index] = session
            over = session.link.add_secret(index, secret)
            if over is not None:
                self._by_index.pop(over, None)

    def change_services(self, message: SessionServices) -> None:
        """Reach more services on a session, or fewer; flows that there are go on."""
        session = self._sessions.get(message.session_id)
        if session is None:
            return
        services = [ServiceKey(ServiceKind.UDP, name) for name in message.names]
        for service in services:
            if message.ended:
                session.services.discard(service)
                self._remove(session, service)
            else:
                session.services.add(service)
                serving = self._serving.setdefault((session.tenant_id, service), {})
                serving[session.session_id] = session
        marks = {"failing": message.failing, "sticky": message.sticky}
        session.hints = session.hints.mark(services, **marks)

    def change_weight(self, session_id: bytes, weight: int) -> None:
        """Let a session's group have another weight."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.hints = replace(session.hints, weight=weight)

    def go_away(self, session_id: bytes) -> None:
        """Use a session for no new flows."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.going_away = True

    def end(self, session_id: bytes) -> AgentSession | None:
        """Forget a session, and return it if it was there."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            for service in session.services:
                self._remove(session, service)
            for index in session.link.indexes:
                self._by_index.pop(index, None)
            self._balancer.forget(session_id)
        return session

    def find(self, tenant_id: TenantId, service: ServiceKey) -> Collection[AgentSession]:
        """Return the sessions on which a tenant's service can be reached."""
        return self._serving.get((tenant_id, service), {}).values()

    def find_by_index(self, index: int) -> AgentSession | None:
        """Return the session of a packet's index."""
        return self._by_index.get(index)

    def _remove(self, session: AgentSession, service: ServiceKey) -> None:
        key = session.tenant_id, service
        serving = self._serving.get(key, {})
        serving.pop(session.session_id, None)
        if not serving:
            self._serving.pop(key, None)
