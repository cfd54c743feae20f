"""Certificates that clients see and origins do not have, in `towonel agent` and `towonel status`, against a real hub."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from support.commands import CommandedHub
from support.hub import new_key, registration, tenant_of
from support.polling import pauses

from towonel.api.invites import InviteIn
from towonel.api.reports import EdgeReport, SessionReport
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey
from towonel.wire import base64url
from towonel.wire.tokens import EdgeToken, InviteToken

KEY = "https:seen.example.eu"


def report(*sessions: SessionReport) -> EdgeReport:
    names = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")
    counts = dict.fromkeys((*names, "sessions_active"), 0)
    return EdgeReport.model_validate(
        {"version": "1", "sessions": [*sessions], "tenants": [], **counts}
    )


def session(agent: NodeKey, tenant_id: bytes) -> SessionReport:
    return SessionReport(
        session_id=bytes(16),
        agent_id=agent.public,
        tenant_id=tenant_id,
        group="g",
        peer="192.0.2.1:1",
        since_ms=0,
        services=[KEY],
        active_streams=0,
        software="agent/1",
    )


async def wait_until_read(client: HubClient, agent: NodeKey, *, is_live: bool) -> None:
    """Wait until the hub has read what the edge reported: it does so once a second."""
    async with asyncio.timeout(10):
        for pause_s in pauses():
            if (await client.agents.get(agent.public)).is_live is is_live:
                return
            await asyncio.sleep(pause_s)


async def start(hub: CommandedHub, edge: NodeKey, agent: NodeKey) -> None:
    async with hub.client() as client:
        invite = await client.invites.create(InviteIn(hostnames=["seen.example.eu"]))
        token = InviteToken.decode(invite.token)
        grant = (await client.bootstrap(token, agent, "g")).grant or ""
        await client.register_edge(edge, registration(edge))
        await client.report_edge(edge, report(session(agent, tenant_of(token).tenant_id)))
        await client.refresh(base64url.decode(grant), agent, None, [KEY])
        await wait_until_read(client, agent, is_live=True)


async def end(hub: CommandedHub, edge: NodeKey, agent: NodeKey) -> None:
    async with hub.client() as client:
        await client.report_edge(edge, report())
        await wait_until_read(client, agent, is_live=False)


@pytest.fixture(scope="module")
def agent(hub: CommandedHub) -> Iterator[str]:
    """An agent that is live, and has found that clients see another certificate."""
    invited = hub.json_of("edge-invite", "create", "--name", "rome")
    edge, agent = NodeKey.from_seed(EdgeToken.decode(invited["token"]).seed), new_key()
    asyncio.run(start(hub, edge, agent))
    yield agent.public.hex()
    asyncio.run(end(hub, edge, agent))


def test_an_agent_is_shown_with_the_services_that_somebody_else_ends(
    hub: CommandedHub, agent: str
) -> None:
    displayed = hub.stdout_of("agent", "show", agent)

    assert re.search(f"^mismatches +{re.escape(KEY)}$", displayed, re.MULTILINE)
    assert hub.json_of("agent", "show", agent)["certificate_mismatches"] == [KEY]


def test_the_status_counts_them_and_says_what_that_means(hub: CommandedHub, agent: str) -> None:
    displayed = hub.stdout_of("status")

    assert hub.json_of("status")["services_intercepted"] == 1, agent
    assert re.search(r"^services intercepted +1$", displayed, re.MULTILINE)
    assert re.search(r"^why intercepted +.*`towonel agent show`$", displayed, re.MULTILINE)
