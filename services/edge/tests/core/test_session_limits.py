"""Limits on the sessions of agents."""

import pytest

from towonel.edge.core.session_limits import DEFAULT_LIMITS, SessionLimits
from towonel.wire.errors import Code

LIMITS = SessionLimits(10, 3, send_bytes_per_tenant=1, receive_bytes_per_tenant=1)


@pytest.mark.parametrize(
    ("sessions", "of_tenant", "code"),
    [
        (0, 0, None),
        (9, 2, None),
        (9, 3, Code.LIMIT_EXCEEDED),
        (10, 0, Code.LIMIT_EXCEEDED),
        (11, 4, Code.LIMIT_EXCEEDED),
    ],
)
def test_one_more_session_is_refused_at_the_limit_of_the_tenant_and_at_that_of_all(
    sessions: int, of_tenant: int, code: Code | None
) -> None:
    assert LIMITS.refuse(sessions, of_tenant) is code


def test_a_tenant_has_so_many_services() -> None:
    assert LIMITS.refuse_services(LIMITS.services_per_tenant) is None
    assert LIMITS.refuse_services(LIMITS.services_per_tenant + 1) is Code.QUOTA_EXCEEDED


def test_all_agents_of_a_tenant_can_dial_at_once_and_be_replaced() -> None:
    assert DEFAULT_LIMITS.admission_burst == 2 * DEFAULT_LIMITS.per_tenant
    assert LIMITS.admission_burst > 2 * LIMITS.per_tenant


def test_by_default_a_tenant_has_room_for_the_agents_that_a_hub_allows() -> None:
    assert DEFAULT_LIMITS.per_tenant > 100
    assert DEFAULT_LIMITS.sessions > DEFAULT_LIMITS.per_tenant
