"""Bodies that do not come, or not wholly: what they hold, and who loses when there is no room."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import httpx
import pytest
from starlette.types import ASGIApp, Message, Scope
from support.hub import OPERATOR_KEY, TestHub, running_hub

from towonel.hub.bounds import Bounds
from towonel.hub.core.rate_limits import Rate
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database

OPERATOR = {"authorization": f"Bearer {OPERATOR_KEY}"}


async def test_a_client_that_leaves_within_its_body_is_counted_and_no_crash(
    hub: TestHub, capsys: pytest.CaptureFixture[str]
) -> None:
    async def leave() -> dict[str, object]:
        return {"type": "http.disconnect"}

    await hub.app(post("/v1/bootstrap"), leave, nobody)

    requests = hub.context.metrics.requests
    assert requests.labels("/v1/bootstrap", "499")._value.get() == 1
    assert "crashed" not in capsys.readouterr().out


@pytest.mark.parametrize("bounds", [Bounds(body_s=0.1)])
async def test_a_body_that_never_comes_is_given_up(hub: TestHub) -> None:
    sent: list[Message] = []

    async def say_nothing() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def note(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(20):
        await hub.app(post("/v1/bootstrap"), say_nothing, note)

    assert sent[0]["status"] == 408
    assert b"client_timeout" in sent[1]["body"]


@pytest.mark.parametrize("bounds", [Bounds(body_bytes=1_000)])
async def test_above_the_budget_of_bodies_the_source_that_holds_most_is_told_to_come_back(
    hub: TestHub,
) -> None:
    first, second = SendingClient("192.0.2.1", 900, ends=False), SendingClient("192.0.2.2", 200)
    app = hub.app
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(first.call(app))
        await first.has_sent.wait()
        await second.call(app)

    assert (first.answers[0]["status"], second.answers[0]["status"]) == (503, 400)
    assert (b"retry-after", b"2") in first.answers[0]["headers"]


@pytest.mark.parametrize("bounds", [Bounds(requests=2, awaited_bodies=9)])
async def test_bodies_that_are_awaited_take_no_place_of_other_requests(hub: TestHub) -> None:
    app = hub.app
    async with unfinished(app, ["192.0.2.1"] * 8) as strangers:
        async with honest(app) as http:
            listed = await http.get("/v1/invites")
            made = await http.post("/v1/invites", json={"hostnames": ["a.eu"]})
        assert {one.status for one in strangers} == {None}

    assert (listed.status_code, made.status_code) == (200, 200)
    assert hub.context.metrics.awaited_bodies._value.get() == 0


@pytest.mark.parametrize("bounds", [Bounds(awaited_bodies=4)])
async def test_without_a_place_the_oldest_body_of_the_source_that_has_most_is_ended(
    hub: TestHub,
) -> None:
    app = hub.app
    addresses = ["192.0.2.9", "2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.8"]
    async with unfinished(app, addresses) as clients:
        async with asyncio.timeout(20):
            await clients[1].is_answered.wait()
        assert [one.status for one in clients] == [None, 503, None, None, None]
        assert (b"retry-after", b"2") in clients[1].answers[0]["headers"]


async def test_unfinished_bodies_with_an_invented_key_count_against_their_address(
    database: Database,
) -> None:
    changes, bounds = RouteChanges(), Bounds(awaited_bodies=1)
    async with running_hub(database, changes, bounds=bounds, per_address=Rate(0.001, 2)) as hub:
        app = hub.app
        async with unfinished(app, ["192.0.2.1"] * 5) as strangers, asyncio.timeout(20):
            for one in strangers[:4]:
                await one.is_answered.wait()

    assert [one.status for one in strangers[:4]] == [503, 503, 429, 429]


@contextlib.asynccontextmanager
async def unfinished(app: ASGIApp, addresses: list[str]) -> AsyncGenerator[list["SendingClient"]]:
    """Clients that begin to make an invite with an invented key, one after the other."""
    clients = [
        SendingClient(address, 1, ends=False, path="/v1/invites", key="x") for address in addresses
    ]
    async with asyncio.TaskGroup() as tasks:
        calls = list[asyncio.Task[None]]()
        for client in clients:
            calls.append(tasks.create_task(client.call(app)))
            async with asyncio.timeout(20):
                await client.has_sent.wait()
        yield clients
        for call in calls:
            call.cancel()


def honest(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("192.0.2.200", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://hub", headers=OPERATOR)


class SendingClient:
    """A client that sends a body, and its end or nothing more."""

    def __init__(
        self,
        address: str,
        size: int,
        *,
        ends: bool = True,
        path: str = "/v1/bootstrap",
        key: str = "",
    ) -> None:
        self.scope = {**post(path), "client": (address, 1)}
        self.scope["headers"] += [(b"authorization", f"Bearer {key}".encode())] if key else []
        self.has_sent = asyncio.Event()
        self.is_answered = asyncio.Event()
        self.answers: list[Message] = []
        self._body = iter([{"type": "http.request", "body": b" " * size, "more_body": not ends}])

    @property
    def status(self) -> int | None:
        """That of the answer, if there is one."""
        return self.answers[0]["status"] if self.answers else None

    async def call(self, app: ASGIApp) -> None:
        await app(self.scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if (message := next(self._body, None)) is not None:
            return message
        self.has_sent.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def _send(self, message: Message) -> None:
        self.answers.append(message)
        self.is_answered.set()


def post(path: str) -> Scope:
    """A request whose head promises a body."""
    return {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1",
        "scheme": "http", "raw_path": path.encode(), "root_path": "", "client": ("192.0.2.1", 1),
        "headers": [(b"host", b"hub"), (b"content-length", b"20")], "server": ("hub", 80),
    }  # fmt: skip


async def nobody(_message: Message) -> None:
    return
