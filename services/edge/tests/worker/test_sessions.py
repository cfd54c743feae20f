"""Sessions of a worker: those of one tenant share its turns of bulk."""

from collections.abc import Iterator

import pytest
from support.relay import EdgeEnd

from towonel.edge.core.balance import Balancer
from towonel.edge.worker.messages import SessionAdmitted, SessionServices, SessionWeight, Settled
from towonel.edge.worker.sessions import WorkerSessions
from towonel.relay.loop import Loop, TurnGroup
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire.errors import ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints


@pytest.fixture
def sessions() -> Iterator[WorkerSessions]:
    loop = Loop()
    edge = EdgeEnd(loop, Memory(PipePool(0)))
    yield WorkerSessions(edge.lanes, Balancer(), 1, 64)
    edge.acceptor.close()
    loop.close()


def add(sessions: WorkerSessions, number: int, tenant: bytes, secret: bytes) -> TurnGroup | None:
    session_id = bytes([number]) * 16
    sessions.add(SessionAdmitted(session_id, tenant * 32, secret, 0.01))
    session = sessions.get(session_id)
    assert session is not None
    return None if session.lanes is None else session.lanes.group


def test_a_tenant_has_no_more_turns_for_more_sessions(sessions: WorkerSessions) -> None:
    secrets = (b"", b"k" * 32, b"k" * 32)
    without, first, second = (add(sessions, n, b"a", secret) for n, secret in enumerate(secrets))
    other = add(sessions, 9, b"b", b"k" * 32)

    assert without is None
    assert first is second
    assert other not in {None, first}


def test_services_are_added_and_removed_one_by_one_while_clients_come(
    sessions: WorkerSessions,
) -> None:
    add(sessions, 1, b"a", b"")
    add(sessions, 2, b"a", b"")
    first, second = (bytes([number]) * 16 for number in (1, 2))
    for session_id in (first, second):
        sessions.add_services(session_id, ["https:a.eu", "https:b.eu"])
    sessions.remove_services(first, ["https:a.eu", "https:never.eu"])
    sessions.remove_services(b"gone" * 4, ["https:a.eu"])

    assert serving(sessions, "a.eu") == [second]
    assert serving(sessions, "b.eu") == [first, second]
    sessions.end(second, cut=None)
    assert (serving(sessions, "a.eu"), serving(sessions, "b.eu")) == ([], [first])


def serving(sessions: WorkerSessions, hostname: str) -> list[bytes]:
    found = sessions.find(TenantId(b"a" * 32), ServiceKey(ServiceKind.HTTPS, hostname))
    return [session.session_id for session in found]


def test_services_other_than_https_have_a_pool_of_their_own_from_the_first_on(
    sessions: WorkerSessions,
) -> None:
    add(sessions, 1, b"a", b"k" * 32)
    session_id = bytes([1]) * 16
    pool_id = tls_pool_id(session_id)
    sessions.add_services(session_id, ["https:a.eu"])
    assert sessions.get(pool_id) is None
    sessions.add_services(session_id, ["tcp:ssh", "tcp:sql"])
    pool, ssh = sessions.get(pool_id), ServiceKey(ServiceKind.TCP, "ssh")
    tenant = TenantId(b"a" * 32)

    assert pool is not None
    assert pool.lanes is not None
    assert pool.lanes.tls_only
    assert list(sessions.find(tenant, ssh)) == [pool]
    assert serving(sessions, "a.eu") == [session_id]
    assert sessions.places(tenant, ssh) == {None: 1, ssh: 1}
    sessions.remove_services(session_id, ["tcp:ssh"])
    assert list(sessions.find(tenant, ssh)) == []
    sessions.go_away(session_id)
    assert pool.going_away
    sessions.end(session_id, cut=None)
    assert sessions.get(pool_id) is None
    assert list(sessions.find(tenant, ServiceKey(ServiceKind.TCP, "sql"))) == []


def test_a_pool_of_a_session_that_goes_away_takes_no_clients(sessions: WorkerSessions) -> None:
    add(sessions, 1, b"a", b"k" * 32)
    session_id = bytes([1]) * 16
    sessions.go_away(session_id)
    sessions.add_services(session_id, ["tcp:ssh"])
    pool = sessions.get(tls_pool_id(session_id))

    assert pool is not None
    assert pool.going_away


def marks(sessions: WorkerSessions, session_id: bytes) -> tuple[BalanceHints | None, ...]:
    """Return the hints of a session and of its pool, as far as there are any."""
    found = map(sessions.get, (session_id, tls_pool_id(session_id)))
    return tuple(None if pool is None else pool.hints for pool in found)


def test_hints_of_an_agent_hold_for_its_session_and_its_pool(sessions: WorkerSessions) -> None:
    session_id, ssh = bytes([1]) * 16, ServiceKey(ServiceKind.TCP, "ssh")
    sessions.change(SessionAdmitted(session_id, b"a" * 32, b"k" * 32, 0.01, group="g", weight=7))
    sessions.change(SessionWeight(session_id, 0))
    assert marks(sessions, session_id) == (BalanceHints(0), None)
    sessions.change(SessionServices(session_id, ["tcp:ssh"], failing=True))
    sessions.change(SessionWeight(b"gone" * 4, 9))

    assert marks(sessions, session_id) == (BalanceHints(0, frozenset({ssh})),) * 2
    sessions.change(SessionServices(session_id, ["tcp:ssh"], sticky=True))
    assert marks(sessions, session_id) == (BalanceHints(0, sticky=frozenset({ssh})),) * 2
    sessions.change(SessionServices(session_id, ["tcp:ssh"], ended=True))
    assert marks(sessions, session_id) == (BalanceHints(0),) * 2


def test_what_control_says_of_anything_but_sessions_is_refused(sessions: WorkerSessions) -> None:
    with pytest.raises(ProtocolError):
        sessions.change(Settled())
