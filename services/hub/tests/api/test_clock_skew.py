"""Clocks of edges and agents that are wrong: taken up to five minutes, and listed."""

import pytest
from support.callers import code_of
from support.hub import TestHub, new_key, registration

from towonel.api.reports import EdgeReport
from towonel.client.hub import HubClient
from towonel.identity.signatures import MAX_SKEW_MS
from towonel.wire import base64url
from towonel.wire.errors import Code


def client_ahead(hub: TestHub, skew_ms: int) -> HubClient:
    """Return a client of a machine whose clock is ahead."""
    found = HubClient(
        "http://127.0.0.1", transport=hub.transport(), now_ms=lambda: hub.clock.now_ms + skew_ms
    )
    hub.clients.append(found)
    return found


def report(skew_ms: int | None) -> EdgeReport:
    return EdgeReport(
        version="1",
        started_at_ms=1,
        connections_active=0,
        connections_total=0,
        clock_skew_ms=skew_ms,
        bytes_in=0,
        bytes_out=0,
        sessions_active=0,
        sessions=[],
        tenants=[],
    )


@pytest.mark.parametrize("skew_ms", [MAX_SKEW_MS - 1, -MAX_SKEW_MS, 0])
async def test_an_agent_is_listed_with_how_far_its_clock_is_ahead(
    hub: TestHub, skew_ms: int
) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), client_ahead(hub, skew_ms)
    grant = (await client.bootstrap(token, agent, "g")).grant
    assert grant is not None
    before = await hub.client().agents.get(agent.public)
    await client.refresh(base64url.decode(grant), agent)

    assert before.clock_skew_ms is None
    # Two requests of one key in a millisecond: the second is numbered on.
    assert (await hub.client().agents.get(agent.public)).clock_skew_ms in {skew_ms, skew_ms + 1}


@pytest.mark.parametrize("skew_ms", [MAX_SKEW_MS + 1, -MAX_SKEW_MS - 1])
async def test_a_clock_that_is_more_than_five_minutes_off_is_refused(
    hub: TestHub, skew_ms: int
) -> None:
    node, client = hub.context.keys.node, client_ahead(hub, skew_ms)

    assert MAX_SKEW_MS == 5 * 60_000
    assert await code_of(client.register_edge(node, registration(node))) is Code.CLOCK_SKEW


@pytest.mark.parametrize("skew_ms", [None, -240_000])
async def test_an_edge_is_listed_with_what_it_finds_of_its_clock(
    hub: TestHub, skew_ms: int | None
) -> None:
    node, client = hub.context.keys.node, hub.client()
    await client.register_edge(node, registration(node))
    await client.report_edge(node, report(skew_ms))

    assert (await client.edges.get(node.public)).clock_skew_ms == skew_ms
