"""Registry of the agents' sessions, indexed by tenant and service."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from typing import Protocol, override
from weakref import WeakValueDictionary

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.service_index import ServiceIndex
from towonel.edge.core.session_limits import DEFAULT_LIMITS, SessionLimits
from towonel.edge.metrics import Metrics
from towonel.identity.grants import Grant
from towonel.runtime.addresses import source_of
from towonel.runtime.log_limit import LogLimit
from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets
from towonel.tunnel.core.bounds.receive_budget import ReceiveBudget
from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.session import AdmissionPolicy, Session
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints

MAX_SOURCES = 10  # addresses with a line about a refusal in one second
MAX_AGENTS = 100  # agents with a line in one second; an edge that is started again admits them all
MAX_AGENTS_PER_TENANT = 20
MAX_NAMED = 5  # services in a line
MAX_TENANTS = 16_384  # whose rate of admissions is remembered


class SessionObserver(Protocol):
    """Observer of the sessions of admitted agents."""

    def on_admitted(self, session: Session) -> None:
        """A session began."""
        ...

    def on_going_away(self, session: Session) -> None:
        """A session takes no more clients."""
        ...

    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        """The agent of a session serves something else than before, or has other hints."""
        ...

    def on_ended(self, session: Session, code: Code) -> None:
        """A session is over."""
        ...


class Sessions(AdmissionPolicy):
    """Registry of sessions that also decides which agents are admitted."""

    has_lanes = True

    def __init__(
        self,
        table: RouteTable,
        balance: Balancer,
        metrics: Metrics,
        limits: SessionLimits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._balance = balance
        self._metrics = metrics
        self._limits = limits
        self._clock = clock
        self._count = 0
        self._admissions = KeyedBuckets[TenantId](
            limits.admissions_per_s, limits.admission_burst, MAX_TENANTS
        )
        self._send_budgets: dict[TenantId, SendBudget] = {}  # of tenants that have a session
        self._refusals = LogLimit(max_keys=MAX_SOURCES)
        self._agents = LogLimit(max_keys=MAX_AGENTS, max_keys_per_owner=MAX_AGENTS_PER_TENANT)
        metrics.send_buffer.set_function(self._count_held_bytes)
        # An ended session has its tenant's for as long as a client reads what had come on it.
        self._receive_budgets = WeakValueDictionary[TenantId, ReceiveBudget]()
        metrics.receive_buffer.set_function(self._count_unread_bytes)
        metrics.sessions_failing.set_function(self._count_failing)
        self.hub_id: HubId | None = None  # whose grants are accepted, and nobody else's
        self.has_ended = asyncio.Event()  # one of them; cleared by who reports it
        self._by_tenant: dict[TenantId, ServiceIndex[Session]] = {}
        self.observers: list[SessionObserver] = []

    def find(self, tenant_id: TenantId, service: ServiceKey | None) -> Collection[Session]:
        """Return the sessions on which a tenant's service can be reached, or all of the tenant."""
        own = self._by_tenant.get(tenant_id)
        if own is None:
            return ()
        return own.sessions if service is None else own.find(service)

    def all(self) -> list[Session]:
        """Return every session there is."""
        return [session for own in self._by_tenant.values() for session in own.sessions]

    def revoke(self, tenants: Iterable[TenantId]) -> None:
        """End the sessions of tenants at once, and with them every client on them."""
        for tenant_id in tenants:
            for session in list(self.find(tenant_id, None)):
                session.close(Code.TENANT_REVOKED)

    @override
    def hub_ids(self) -> Collection[bytes]:
        return () if self.hub_id is None else (self.hub_id,)

    @override
    def refuse(self, grant: Grant) -> Code | None:
        return Code.TENANT_REVOKED if self._table.is_blocked(grant.tenant_id) else None

    @override
    def refuse_more(
        self, grant: Grant, services: Collection[ServiceKey], *, is_replacement: bool
    ) -> Denied | None:
        name = f"tenant {grant.tenant_id.hex()}"
        if not self._admissions.take(grant.tenant_id, self._clock()):
            return Denied(Code.RATE_LIMITED, f"{name} opens sessions too often")
        own = self._by_tenant.get(grant.tenant_id) or ServiceIndex[Session]()
        code = None if is_replacement else self._limits.refuse(self._count, len(own.sessions))
        if code is not None:
            return Denied(code, f"{name} has too many sessions")
        count = own.count_with(services)
        code = self._limits.refuse_services(count)
        return None if code is None else Denied(code, f"{name} announces {count} services in all")

    @override
    def source_of(self, host: str) -> str:
        return source_of(ip_address(host.partition("%")[0]))

    @override
    def budgets_of(self, tenant_id: TenantId) -> tuple[SendBudget, ReceiveBudget]:
        send = SendBudget(self._limits.send_bytes_per_tenant)
        receive = ReceiveBudget(self._limits.receive_bytes_per_tenant)
        return (
            self._send_budgets.setdefault(tenant_id, send),
            self._receive_budgets.setdefault(tenant_id, receive),
        )

    @override
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    @override
    def on_admitted(self, session: Session) -> None:
        own = self._by_tenant.setdefault(session.tenant_id, ServiceIndex[Session]())
        own.add(session.session_id, session.services, session)
        session.share_services(own.get_held(session.services))
        self._count += 1
        for observer in self.observers:
            observer.on_admitted(session)
        self._metrics.sessions.inc()
        self._metrics.sessions_active.inc()
        self._metrics.sessions_by_tcp.inc(not session.has_streams)
        services = len(session.services)
        fields, owner = _log_fields(session), session.tenant_id
        self._agents.info(
            "session.admitted",
            key=session.agent_id,
            owner=owner,
            times=1,
            **fields,
            services=services,
        )

    @override
    def on_going_away(self, session: Session) -> None:
        for observer in self.observers:
            observer.on_going_away(session)

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        own = self._by_tenant[session.tenant_id]
        if session.services != before:
            own.remove(session.session_id, before)
            own.add(session.session_id, session.services, session)
            session.share_services(own.get_held(session.services))
        for observer in self.observers:
            observer.on_services_changed(session, before, hints)
        failing = sorted(map(str, session.hints.failing))
        self._agents.info(
            "session.services_changed",
            key=(session.agent_id, "services"),
            owner=session.tenant_id,
            times=1,
            **_log_fields(session),
            services=len(session.services),
            weight=session.hints.weight,
            failing=failing[:MAX_NAMED],
        )

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        own = self._by_tenant[session.tenant_id]
        own.remove(session.session_id, session.services)
        if not own.sessions:
            del self._by_tenant[session.tenant_id]
            self._send_budgets.pop(session.tenant_id, None)
        self._count -= 1
        for observer in self.observers:
            observer.on_ended(session, code)
        self._balance.forget(session.session_id)
        self._metrics.sessions_active.dec()
        self._metrics.sessions_by_tcp.dec(not session.has_streams)
        self._metrics.sessions_ended.labels(code.word).inc()
        self.has_ended.set()
        key, owner = (session.agent_id, code), session.tenant_id
        fields = _log_fields(session)
        self._agents.info("session.ended", key=key, owner=owner, times=1, **fields, code=code.word)

    @override
    def on_refused(self, code: Code, detail: str, peer: str) -> None:
        self._metrics.sessions_refused.labels(code.word).inc()
        key = (code, peer.rpartition(":")[0])
        self._refusals.info("session.refused", key=key, code=code.word, detail=detail, peer=peer)

    def flush(self) -> None:
        """Write the lines that are counted: at the end of the process."""
        self._refusals.flush()
        self._agents.flush()

    def _count_held_bytes(self) -> int:
        return sum(budget.held for budget in self._send_budgets.values())

    def _count_failing(self) -> int:
        return sum(bool(session.hints.failing) for session in self.all())

    def _count_unread_bytes(self) -> int:
        return sum(budget.held for budget in self._receive_budgets.values())


def _log_fields(session: Session) -> dict[str, str]:
    return {
        "session_id": session.session_id.hex(),
        "agent_id": session.agent_id.hex(),
        "tenant_id": session.tenant_id.hex(),
        "group": session.group,
        "peer": session.peer,
    }
