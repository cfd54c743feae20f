"""Registry of sessions: the budgets of tenants."""

from collections.abc import Callable

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.session_limits import SessionLimits
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.wire.ids import TenantId

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
