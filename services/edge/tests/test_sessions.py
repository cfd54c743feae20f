"""Registry of sessions: the budgets of tenants, and lines of log."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from structlog.testing import capture_logs

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.session_limits import SessionLimits
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import MAX_AGENTS_PER_TENANT, Sessions
from towonel.identity.grants import Grant
from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import NO_HINTS

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
LIMITS = SessionLimits(9, 9, send_bytes_per_tenant=1, receive_bytes_per_tenant=2**22)


async def test_what_clients_of_a_tenant_have_not_taken_counts_until_nobody_holds_it(
    metrics: Metrics, counted: Callable[..., float]
) -> None:
    sessions = Sessions(RouteTable(), Balancer(), metrics, LIMITS)
    first, second, other = (ReceiveShare() for _ in range(3))
    for share, tenant in ((first, ALICE), (second, ALICE), (other, BOB)):
        share.join(sessions.budgets_of(tenant)[1])
    first.take(2**21)
    first.give(2**21)
    other.take(5)

    assert counted("receive_buffer_bytes") == 2**21 + 5
    assert (second.room, other.room) == (2**20, 2**22)
    first.leave()
    second.leave()
    assert sessions.budgets_of(ALICE)[1].held == 2**21
    del first, second
    assert counted("receive_buffer_bytes") == 5


def session_of(tenant: TenantId, number: int) -> Session:
    """A session of an agent with a key of its own."""
    number_bytes = number.to_bytes(16)
    ids = {"session_id": number_bytes, "agent_id": number_bytes, "tenant_id": tenant}
    rest = {"services": frozenset[object](), "group": "home", "peer": "192.0.2.1:9"}
    session = SimpleNamespace(**ids, **rest, has_streams=True, hints=NO_HINTS)
    session.share_services = lambda services: setattr(session, "services", services)
    return cast(Session, session)


def grant_of(tenant: TenantId) -> Grant:
    return Grant(AgentId(b"g" * 32), tenant, "home", 0, 1)


def names(first: int, last: int) -> frozenset[ServiceKey]:
    return frozenset(ServiceKey(ServiceKind.TCP, f"name {n}") for n in range(first, last))


async def test_a_tenant_whose_agents_come_and_go_leaves_lines_to_others(metrics: Metrics) -> None:
    sessions = Sessions(RouteTable(), Balancer(), metrics, LIMITS)
    with capture_logs() as lines:
        for number in range(500):
            session = session_of(ALICE, number)
            sessions.on_admitted(session)
            sessions.on_ended(session, Code.NORMAL)
        sessions.on_admitted(session_of(BOB, 500))
        sessions.flush()

    tenants = [line["tenant_id"] for line in lines]
    assert tenants.count(BOB.hex()) == 1
    assert tenants.count(ALICE.hex()) <= MAX_AGENTS_PER_TENANT + 2
    counted = sum(line.get("count", 1) for line in lines)
    assert counted == 500 * 2 + 1


async def test_a_tenant_has_so_many_different_services_over_all_its_sessions(
    metrics: Metrics,
) -> None:
    sessions = Sessions(RouteTable(), Balancer(), metrics, replace(LIMITS, services_per_tenant=10))
    first = session_of(ALICE, 1)
    first.share_services(names(0, 8))
    sessions.on_admitted(first)

    assert refusal_of(sessions, ALICE, names(0, 8)) is None
    assert refusal_of(sessions, ALICE, names(4, 10)) is None
    assert refusal_of(sessions, ALICE, names(4, 11)) is Code.QUOTA_EXCEEDED
    assert refusal_of(sessions, ALICE, names(4, 11), is_replacement=True) is Code.QUOTA_EXCEEDED
    assert refusal_of(sessions, BOB, names(4, 11)) is None
    assert refusal_of(sessions, BOB, names(0, 11)) is Code.QUOTA_EXCEEDED
    sessions.on_ended(first, Code.NORMAL)
    assert refusal_of(sessions, ALICE, names(4, 11)) is None


async def test_an_agent_that_serves_something_else_is_found_by_that_alone(
    metrics: Metrics,
) -> None:
    sessions, session = Sessions(RouteTable(), Balancer(), metrics, LIMITS), session_of(ALICE, 1)
    session.share_services(names(0, 2))
    sessions.on_admitted(session)
    session.share_services(names(1, 3))
    with capture_logs() as lines:
        sessions.on_services_changed(session, names(0, 2), NO_HINTS)

    found = [list(sessions.find(ALICE, service)) for service in sorted(names(0, 3))]
    assert found == [[], [session], [session]]
    assert [(line["event"], line["services"]) for line in lines] == [
        ("session.services_changed", 2)
    ]
    sessions.on_ended(session, Code.NORMAL)
    assert not sessions.all()


def refusal_of(
    sessions: Sessions,
    tenant: TenantId,
    services: frozenset[ServiceKey] = frozenset(),
    *,
    is_replacement: bool = False,
) -> Code | None:
    refused = sessions.refuse_more(grant_of(tenant), services, is_replacement=is_replacement)
    return None if refused is None else refused.code


async def test_replicas_share_the_memory_of_their_services(metrics: Metrics) -> None:
    sessions = Sessions(RouteTable(), Balancer(), metrics, LIMITS)
    replicas = [session_of(ALICE, number) for number in range(3)]
    for replica in replicas:
        replica.share_services(names(0, 5))
        sessions.on_admitted(replica)

    assert len({id(replica.services) for replica in replicas}) == 1
    assert len(sessions.find(ALICE, ServiceKey(ServiceKind.TCP, "name 4"))) == 3


async def test_a_tenant_opens_so_many_sessions_in_a_time_and_others_open_theirs(
    metrics: Metrics,
) -> None:
    now = [100.0]
    sessions = Sessions(RouteTable(), Balancer(), metrics, LIMITS, clock=lambda: now[0])
    for _ in range(LIMITS.admission_burst):
        assert refusal_of(sessions, ALICE, is_replacement=True) is None

    assert refusal_of(sessions, ALICE) is Code.RATE_LIMITED
    assert refusal_of(sessions, ALICE, is_replacement=True) is Code.RATE_LIMITED
    assert refusal_of(sessions, BOB) is None
    now[0] += 1
    assert [refusal_of(sessions, ALICE) for _ in range(11)] == [None] * 10 + [Code.RATE_LIMITED]
