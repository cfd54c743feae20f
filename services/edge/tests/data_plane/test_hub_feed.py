"""Feed of the hub's own name: workers get addresses, those that start later as well."""

import asyncio

import pytest
from structlog.testing import capture_logs
from support.tunnel import until

from towonel.edge.core.http.hub_route import HubRoute
from towonel.edge.data_plane.hub_feed import HubFeed
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import HubRouteChanged
from towonel.wire.names import Hostname

NAME = Hostname("hub.example.eu")
FOUND = [(0, 0, 0, "", ("::1", 8443, 0, 0))]


async def test_workers_get_the_addresses_once_and_later_ones_too() -> None:
    sent: list[Message] = []
    feed = HubFeed(sent.append)
    async with feed.follow(HubRoute(NAME, "http://127.0.0.1:8443"), b"proof", look_s=0):
        await until(lambda: sent)

    assert sent == [HubRouteChanged(NAME, (("127.0.0.1", 8443),), b"proof")]
    assert [*feed.describe()] == sent


async def test_without_a_name_of_its_own_workers_get_nothing() -> None:
    sent: list[Message] = []
    feed = HubFeed(sent.append)
    async with feed.follow(None, b""):
        assert [*feed.describe()] == sent == []


async def test_a_name_is_looked_up_again_and_a_failure_changes_nothing_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = OSError("no name server")
    answers: list[object] = [gone, gone, FOUND, gone, FOUND, gone]

    async def look_up(*_: object, **__: object) -> object:
        answer = answers.pop(0) if answers else FOUND
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    sent: list[Message] = []
    feed = HubFeed(sent.append)
    with capture_logs() as logs:
        async with feed.follow(HubRoute(NAME, "http://hub:8443"), b"", look_s=0):
            await until(lambda: not answers)

    assert sent == [HubRouteChanged(NAME, (("::1", 8443, 0, 0),))]
    assert [each["event"] for each in logs].count("hub_name.unresolved") == 3
