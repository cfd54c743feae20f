"""API callers of the tests: clients with keys of every kind, and the refusals they get."""

import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from support.hub import TestHub, state, tenant_of
from support.legacy_client import streamed

from towonel.api.keys import KeyIn, Role
from towonel.api.ports import Protocol
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import TenantKey
from towonel.wire import base64url
from towonel.wire.errors import Code, TowonelError
from towonel.wire.routes import Route
from towonel.wire.tokens import InviteToken

OPERATOR = {"authorization": "Bearer operator-key"}


async def made_key(hub: TestHub, role: Role, tenant: TenantKey | None = None) -> str:
    """The secret of a new API key."""
    tenant_id = None if tenant is None else tenant.tenant_id
    wanted = KeyIn(name=secrets.token_hex(4), role=role, tenant_id=tenant_id)
    return (await hub.client().keys.create(wanted)).key


async def keyed(hub: TestHub, role: Role, tenant: TenantKey | None = None) -> HubClient:
    """A client with a new API key."""
    return hub.client(await made_key(hub, role, tenant))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def refusal(refused: Awaitable[object]) -> TowonelError:
    with pytest.raises(TowonelError) as caught:
        await refused
    return caught.value


async def code_of(refused: Awaitable[object]) -> Code:
    return (await refusal(refused)).code


def body_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the word of a refusal; every one has the whole envelope."""
    error = answer.json()["error"]
    assert error["message"]
    assert answer.headers["x-request-id"]
    return answer.status_code, error["code"]


def invite_id(token: InviteToken) -> str:
    return base64url.encode(token.invite_id)


def tenant_id(token: InviteToken) -> bytes:
    return tenant_of(token).tenant_id


async def publish(hub: TestHub, token: InviteToken, *hostnames: str, group: str = "default") -> int:
    """Publish hostnames as the tenant does; returns the revision."""
    wanted = state(*hostnames, group=group)
    hub.clock.now_ms += 10  # the same request again would be a replay
    return (await hub.client().apply_desired_state(tenant_of(token), wanted)).revision


async def publish_ports(
    hub: TestHub, token: InviteToken, kind: Protocol, ports: Sequence[int]
) -> int:
    services = [ServiceIn(kind=kind, name=f"s{port}", port=port) for port in ports]
    hub.clock.now_ms += 10
    wanted = DesiredState(group=f"{kind}s", services=services)
    return (await hub.client().apply_desired_state(tenant_of(token), wanted)).revision


async def served(hub: TestHub) -> dict[str, bytes]:
    """What edges are told now: the tenant of each route that is not of a blocked tenant."""
    hub.clock.now_ms += 10
    delta = await hub.client().follow_routes(hub.context.keys.node, None)
    routes: tuple[Route, ...] = delta.routes
    return {r.key: r.tenant_id for r in routes if r.tenant_id not in delta.blocked}


@contextlib.asynccontextmanager
async def following(
    hub: TestHub, key: str, *, since: int | None = None
) -> AsyncGenerator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Follow events with a key; what is given returns the next one."""
    last_id = "" if since is None else str(since)
    header = bearer(key)["authorization"]
    async with streamed(hub.app, "/v1/events", header, last_id) as stream:
        assert await stream.status() == 200
        assert await stream.block() == b": following"

        async def following_one() -> dict[str, Any]:
            while (block := await stream.block()).startswith(b":"):
                pass
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
            item: dict[str, Any] = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(item["id"]), item["action"])
            return item

        yield following_one
