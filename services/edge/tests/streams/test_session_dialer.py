"""Dialer of streams: an agent that is silent is waited for only where nothing else says that it is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
from support.tunnel import EDGE, HUB, PEM, SERVICE, TENANT, ListeningEdge, RecordingPolicy, until

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.streams.session_dialer import SessionDialer
from towonel.edge.streams.upstream import ClientConnection
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.link import Link
from towonel.tunnel.listener import listen
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import HubId
from towonel.wire.proxy import Address
from towonel.wire.routes import Route, RouteDelta

ROUTE = Route(SERVICE.kind, SERVICE.name, TENANT)
ADDRESS = Address(IPv4Address("192.0.2.1"), 1)
CLIENT = ClientConnection(ADDRESS, ADDRESS, ROUTE, None, b"hello")
PATIENT = Timing(silence_s=0.05, open_silence_s=60.0)


@asynccontextmanager
async def linked(metrics: Metrics) -> AsyncGenerator[tuple[SessionDialer, Link]]:
    """A dialer, and an agent's link whose session it may choose."""
    table, balancer = RouteTable(), Balancer()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    sessions = Sessions(table, balancer, metrics)
    sessions.hub_id = HubId(HUB.public)
    choices: dict[str, Any] = {
        "clock": lambda: 0.0,
        "draw": Random(1).randrange,
        "open_timeout_s": 60.0,
    }
    serving: dict[str, Any] = {"key": EDGE, "certificate_pem": PEM, "timing": PATIENT}
    async with (
        listen("127.0.0.1", 0, policy=sessions, **serving) as listener,
        ListeningEdge(listener, RecordingPolicy()).link() as link,
    ):
        await until(lambda: list(sessions.all()))
        yield SessionDialer(sessions, balancer, metrics, **choices), link


async def test_an_agent_whose_lanes_were_silent_is_given_up_as_soon_as_quic_is_too(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(metrics) as (dialer, link):
        monkeypatch.setattr(link.channel.connection, "receive", lambda *_: None)
        patient = asyncio.ensure_future(dialer.open(CLIENT))

        with pytest.raises(Unavailable) as caught:
            await dialer.open(replace(CLIENT, lanes_silent=True))
        assert caught.value.code is Code.SESSION_SILENT
        assert not patient.done()
        patient.cancel()
