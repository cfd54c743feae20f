"""Parts of an agent, wired together: which services each of them has."""

import contextlib
import json

from towonel.agent.app import Agent
from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.reconcile import create_identity
from towonel.agent.settings import AgentSettings
from towonel.agent.timing import DEFAULT_TIMING
from towonel.runtime.settings import load
from towonel.wire.tokens import InviteToken

TOKEN = InviteToken("https://hub.example.eu", bytes(16), b"S" * 32, b"K" * 32).encode()


async def test_workers_of_lanes_hear_of_no_udp_service() -> None:
    both = json.dumps([{"name": "dns", "origin": "127.0.0.1:53", "listen_port": 5353}])
    names = ("TOWONEL_AGENT_TCP_SERVICES", "TOWONEL_AGENT_UDP_SERVICES")
    environ = {"TOWONEL_INVITE_TOKEN": TOKEN, **dict.fromkeys(names, both)}
    settings = load(AgentSettings, environ)
    with contextlib.closing(ClientMemory(1)) as clients:
        agent = Agent(
            settings,
            create_identity(settings.invite_token, settings.group),
            DEFAULT_TIMING,
            clients,
            None,
        )
        (facts,) = (each for some in agent.lanes.origins.describe() for each in some.origins)

    assert [str(each.key) for each in settings.all_services] == ["tcp:dns", "udp:dns"]
    assert facts[0] == ("tcp", "dns")
