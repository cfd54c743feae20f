"""Events as they are followed: in order, once each, by as many as there may be, however slow."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from random import Random
from typing import Any

import pytest
from support.callers import OPERATOR, body_of, following
from support.hub import TestHub
from support.legacy_client import request_scope, streamed

from towonel.api.invites import InviteIn
from towonel.api.keys import KeyIn
from towonel.hub.bounds import Bounds
from towonel.hub.timing import Timing

WITHOUT_POLLING = pytest.mark.parametrize("timing", [Timing(events_poll_s=600)])


async def write(hub: TestHub, first: int, last: int) -> None:
    for number in range(first, last):
        await hub.client().invites.create(InviteIn(hostnames=[f"n{number}.eu"]))


@WITHOUT_POLLING
@pytest.mark.parametrize("bounds", [Bounds(events=3)])
async def test_who_breaks_off_anywhere_and_comes_back_gets_each_event_once_in_order(
    hub: TestHub,
) -> None:
    draw, seen = Random(7), list[int]()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for part in range(3):  # three who write at once
            tasks.create_task(write(hub, 10 * part, 10 * part + 10))
        while len(seen) < 30:
            async with following(hub, "operator-key", since=seen[-1] if seen else 0) as one:
                for _ in range(min(draw.randint(1, 7), 30 - len(seen))):
                    seen.append((await one())["id"])
    listed = (await hub.client().audit.list(limit=100)).audit

    assert seen == [item.id for item in reversed(listed)]


async def test_who_names_an_event_that_is_not_there_yet_begins_with_the_next(hub: TestHub) -> None:
    await write(hub, 0, 2)
    async with following(hub, "operator-key", since=10**12) as one:
        await write(hub, 2, 3)
        event = await one()

    assert event["after"]["hostnames"] == ["n2.eu"]


@pytest.mark.parametrize("last", ["-1", "x", str(1 << 63), "1.5"])
async def test_a_last_event_that_is_no_number_is_refused(hub: TestHub, last: str) -> None:
    async with hub.raw() as http:
        answer = await http.get("/v1/events", headers={**OPERATOR, "last-event-id": last})

    assert body_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize("timing", [Timing(events_poll_s=0.01, events_keepalive_s=0.02)])
async def test_a_quiet_stream_says_that_it_is_alive(hub: TestHub) -> None:
    async with streamed(hub.app, "/v1/events", OPERATOR["authorization"]) as stream:
        await stream.status()
        blocks = [await stream.block() for _ in range(4)]

    assert blocks == [b": following"] + [b": quiet"] * 3


async def test_a_stopping_hub_ends_every_stream_and_forgets_who_followed(hub: TestHub) -> None:
    async with (
        streamed(hub.app, "/v1/events", OPERATOR["authorization"]) as one,
        streamed(hub.app, "/v1/events", OPERATOR["authorization"]) as two,
    ):
        await one.block()
        await two.block()
        followed = len(hub.context.followers)
        hub.context.stop()

        assert await one.ended()
        assert await two.ended()
    assert (followed, hub.context.followers) == (2, {})


@pytest.mark.parametrize("bounds", [Bounds(followers_of_key=1)])
async def test_one_key_leaves_room_for_the_followers_of_others(hub: TestHub) -> None:
    made = await hub.client().keys.create(KeyIn(name="mine", role="viewer"))
    async with following(hub, made.key), hub.raw() as http:
        headers = {"authorization": f"Bearer {made.key}"}
        refused = await http.get("/v1/events", headers=headers)
        async with following(hub, "operator-key") as other:
            await write(hub, 0, 1)
            event = await other()

    assert body_of(refused) == (503, "overloaded")
    assert event["action"] == "invite.created"


@pytest.mark.parametrize("bounds", [Bounds(followers=2)])
async def test_one_follower_too_many_is_told_to_come_back_and_can(hub: TestHub) -> None:
    async with following(hub, "operator-key"):
        async with following(hub, "operator-key"), hub.raw() as http:
            refused = await http.get("/v1/events", headers=OPERATOR)
        async with following(hub, "operator-key") as again:
            await write(hub, 0, 1)
            event = await again()

    assert body_of(refused) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert event["action"] == "invite.created"


@pytest.mark.parametrize("bounds", [Bounds(followers=2)])
async def test_of_many_who_ask_at_once_no_more_are_taken_than_there_may_be(hub: TestHub) -> None:
    async with contextlib.AsyncExitStack() as stack:
        requested = [streamed(hub.app, "/v1/events", OPERATOR["authorization"]) for _ in range(6)]
        streams = [await stack.enter_async_context(one) for one in requested]
        statuses = [await stream.status() for stream in streams]

    assert sorted(statuses) == [200] * 2 + [503] * 4
    assert not hub.context.followers


@contextlib.asynccontextmanager
async def slow_follower(hub: TestHub, reads: asyncio.Semaphore) -> AsyncGenerator[list[bytes]]:
    """Somebody who follows from the first event on, and reads no more than it is let."""
    offered = list[bytes]()
    scope = request_scope("/v1/events", OPERATOR["authorization"])
    scope["headers"].append((b"last-event-id", b"0"))

    async def receive() -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            offered.append(message["body"])
        await reads.acquire()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hub.app(scope, receive, send))  # type: ignore[arg-type]
        yield offered
        following.cancel()


@WITHOUT_POLLING
@pytest.mark.parametrize("bounds", [Bounds(events=5)])
async def test_a_follower_that_does_not_read_holds_back_the_hub_and_not_its_memory(
    hub: TestHub,
) -> None:
    reads = asyncio.Semaphore(3)  # the head, the greeting, one event
    await write(hub, 0, 20)
    async with slow_follower(hub, reads) as offered:
        while not reads.locked():
            await asyncio.sleep(0.01)
        await write(hub, 20, 40)
        stuck = len(offered)
        for _ in range(50):
            reads.release()
        while len(offered) < 41:
            await asyncio.sleep(0.01)

    assert stuck <= 3
    ids = [int(block.split(b"\n")[0].removeprefix(b"id: ")) for block in offered[1:41]]
    assert ids == list(range(1, 41))
