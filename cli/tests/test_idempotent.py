"""A create is done once, whatever becomes of its answer."""

from typing import override

import httpx
import pytest
from support.commands import CommandedHub

from towonel.api.invites import InviteIn
from towonel.api.keys import KeyIn
from towonel.cli.commands import key as key_commands
from towonel.cli.idempotent import create_once
from towonel.client.hub import HubClient
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable


class Losing(httpx.AsyncHTTPTransport):
    """Carries the first request to the hub, and its answer nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["idempotency-key"])
        answer = await super().handle_async_request(request)
        if len(self.keys) == 1:
            await answer.aread()
            await answer.aclose()
            raise httpx.ReadError("connection reset")
        return answer


async def test_a_lost_answer_is_fetched_and_nothing_is_made_twice(hub: CommandedHub) -> None:
    wanted = InviteIn(hostnames=["once.example.eu"])
    transport = Losing()
    async with HubClient(hub.url, operator_key=hub.key, transport=transport) as client:
        made = await create_once(lambda key: client.invites.create(wanted, idempotency_key=key))
    async with hub.client() as client:
        found = (await client.invites.list(hostname="once.example.eu")).invites

    assert [item.invite_id for item in found] == [made.invite_id]
    assert len(transport.keys) == 2
    assert len(set(transport.keys)) == 1


async def test_a_lost_secret_of_a_rotated_key_is_fetched(hub: CommandedHub) -> None:
    async with hub.client() as client:
        key_id = (await client.keys.create(KeyIn(name="once", role="viewer"))).key_id
    transport = Losing()
    async with HubClient(hub.url, operator_key=hub.key, transport=transport) as client:
        displayed = await key_commands.rotate(client, key_id)

    async with HubClient(hub.url, operator_key=str(displayed.document["key"])) as client:
        assert (await client.keys.whoami()).role == "viewer"
    assert len(transport.keys) == 2
    assert len(set(transport.keys)) == 1


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (Unavailable(Code.HUB_UNAVAILABLE, "reset"), 2),
        (Unavailable(Code.HUB_UNAVAILABLE, "later", retry_after_s=1.0), 1),
        (Unavailable(Code.RATE_LIMITED, "slower"), 1),
        (Denied(Code.HOSTNAME_CONFLICT, "taken"), 1),
    ],
)
async def test_only_a_request_without_an_answer_is_repeated_and_only_once(
    error: TowonelError, tries: int
) -> None:
    keys = list[str]()

    async def create(key: str) -> None:
        keys.append(key)
        raise error

    with pytest.raises(type(error)):
        await create_once(create)
    assert len(keys) == tries
    assert len(set(keys)) == 1


async def test_each_create_has_a_key_of_its_own() -> None:
    async def create(key: str) -> str:
        return key

    assert await create_once(create) != await create_once(create)
