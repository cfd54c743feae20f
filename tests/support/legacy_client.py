"""Legacy client: the original's programs as raw requests, from its inventory and not our code."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import blake3
import cbor2
import httpx
from fastapi import FastAPI
from support.hub import OPERATOR_KEY, TestHub, new_key

from towonel.hub.store import invites
from towonel.hub.store.tables import InviteRow
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.names import Hostname

OPERATOR = {"authorization": f"Bearer {OPERATOR_KEY}"}
EVENT_S = 20.0  # for an event to come


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class Token:
    """The four parts of `tt_inv_2_` and `tt_edge_2_`."""

    hub_url: str
    invite_id: str
    invite_secret: str
    seed: bytes

    @classmethod
    def parse(cls, text: str, prefix: str) -> "Token":
        assert text.startswith(prefix)
        url, invite_id, secret, seed = text.removeprefix(prefix).split(".")
        return cls(unb64(url).decode(), invite_id, secret, unb64(seed))

    @property
    def proof(self) -> dict[str, str]:
        """The body of a bootstrap."""
        return {"invite_id": self.invite_id, "invite_secret": self.invite_secret}


@dataclass
class LegacyClient:
    """Whoever talks to a hub as the original's programs do."""

    hub: TestHub
    http: httpx.AsyncClient

    async def invite(self, *hostnames: str, **more: object) -> dict[str, Any]:
        body = {"name": None, "hostnames": list(hostnames), "expires_in_secs": None, **more}
        sent = await self.http.post("/v1/invites", json=body, headers=OPERATOR)
        assert sent.status_code == 200, sent.text
        answer: dict[str, Any] = sent.json()
        return answer

    async def tenant(self, *hostnames: str) -> TenantKey:
        token = Token.parse((await self.invite(*hostnames))["token"], "tt_inv_2_")
        return TenantKey.from_seed(token.seed)

    async def edge(self) -> NodeKey:
        sent = await self.http.post("/v1/edge-invites", json={"name": None}, headers=OPERATOR)
        return NodeKey.from_seed(Token.parse(sent.json()["token"], "tt_edge_2_").seed)

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(path, headers=OPERATOR)

    async def submit(
        self, key: TenantKey, sequence: int, op: str, **fields: object
    ) -> httpx.Response:
        return await self.post_entry(signed(key, payload(key, sequence, {op: fields})))

    async def accept(self, key: TenantKey, sequence: int, op: str, **fields: object) -> None:
        sent = await self.submit(key, sequence, op, **fields)
        assert sent.status_code == 200, sent.text

    async def post_entry(self, entry: bytes) -> httpx.Response:
        return await self.http.post("/v1/entries", content=entry)

    async def log(self, tenant_id: bytes) -> list[dict[str, bytes]]:
        path = f"/v1/tenants/{tenant_id.hex()}/entries"
        sent = await self.http.get(path, headers=OPERATOR)
        assert sent.status_code == 200, sent.text
        found: list[dict[str, bytes]] = cbor2.loads(sent.content)
        return found

    async def heartbeat(
        self, agent: NodeKey, tenant_id: bytes, agent_id: bytes | None = None
    ) -> httpx.Response:
        body = cbor2.dumps({"tenant_id": tenant_id, "agent_id": agent_id or agent.public})
        header = authorization(agent, "towonel/agent-heartbeat/v1", body, self.hub.clock())
        headers = {"authorization": header}
        return await self.http.post("/v1/agent/heartbeat", content=body, headers=headers)

    @contextlib.asynccontextmanager
    async def subscribed(self, edge: NodeKey) -> AsyncGenerator["Stream"]:
        header = authorization(edge, "towonel/edge-sub/v1", b"", self.hub.clock())
        self.hub.clock.now_ms += 1  # the next one is another request
        app: FastAPI = self.http._transport.app  # type: ignore[attr-defined]
        async with streamed(app, "/v1/routes/subscribe", header) as stream:
            yield stream


@contextlib.asynccontextmanager
async def legacy_client(hub: TestHub) -> AsyncGenerator[LegacyClient]:
    async with hub.raw() as http:
        yield LegacyClient(hub, http)


def payload(key: TenantKey, sequence: int, op: object, **other: object) -> bytes:
    """A payload with its keys in the original's order; `other` overrides some."""
    said = {"version": 1, "tenant_id": key.tenant_id, "sequence": sequence}
    return cbor2.dumps({**said, "timestamp": 1_700_000_000_000, "op": op, **other})


def signed(key: TenantKey, data: bytes, **other: object) -> bytes:
    """An entry with its keys in the original's order."""
    said = {"payload": data, "signature": key.sign(data), "tenant_id": key.tenant_id}
    return cbor2.dumps({**said, **other})


def authorization(key: NodeKey, domain: str, body: bytes, at_ms: int) -> str:
    """The header of a request that a node signs."""
    node = key.public.hex()
    message = f"{domain}/{node}/{at_ms}/{blake3.blake3(body).hexdigest()}"
    return f"Signature {node}.{at_ms}.{b64(key.sign(message.encode()))}"


def body_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the word of a refusal."""
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["code"]


async def known_tenant(hub: TestHub, seed: bytes, *hostnames: str) -> TenantKey:
    """A tenant of a seed that is given, as one of a vector is."""
    key = TenantKey.from_seed(seed)
    row = InviteRow(
        invite_id=new_key().public[:16],
        name="known",
        secret_hash=bytes(32),
        tenant_id=key.tenant_id,
        tenant_public_key=key.public,
        created_at_ms=hub.clock(),
    )
    async with hub.context.store.write() as change:
        await invites.add_invite(change, row, [Hostname(name) for name in hostnames])
    return key


class Stream:
    """The answer to one request while it is being given."""

    def __init__(self) -> None:
        self.messages = asyncio.Queue[Mapping[str, Any]]()
        self.parts = list[bytes]()  # as they came
        self._text = b""

    async def status(self) -> int:
        async with asyncio.timeout(EVENT_S):
            return int((await self.messages.get())["status"])

    async def event(self) -> tuple[str, bytes]:
        """The next event that is no comment: its name and its data, decoded."""
        while True:
            lines = (await self.block()).decode().splitlines()
            if not lines[0].startswith(":"):
                fields = dict(line.split(": ", 1) for line in lines)
                return fields["event"], unb64(fields["data"])

    async def table(self) -> Any:
        """The next route table."""
        name, data = await self.event()
        assert name == "routes"
        return cbor2.loads(data)

    async def table_with(self, *hostnames: str) -> Any:
        """The first of the next tables that routes exactly these."""
        while set((table := await self.table())["routes"]) != set(hostnames):
            pass
        return table

    async def ended(self) -> bool:
        """Return when the hub ends the stream."""
        async with asyncio.timeout(EVENT_S):
            while (await self.messages.get()).get("more_body"):
                pass
        return True

    async def block(self) -> bytes:
        """The next event or comment, as it is."""
        while b"\n\n" not in self._text:
            async with asyncio.timeout(EVENT_S):
                message = await self.messages.get()
            self.parts.append(message.get("body", b""))
            self._text += self.parts[-1]
            assert message["type"] == "http.response.start" or message["more_body"], "it ended"
        block, _, self._text = self._text.partition(b"\n\n")
        return block


@contextlib.asynccontextmanager
async def streamed(
    app: FastAPI, path: str, header: str, last_event_id: str = ""
) -> AsyncGenerator[Stream]:
    """Ask for something that has no end; httpx would wait for it."""
    stream, leaving = Stream(), asyncio.Event()
    incoming = [{"type": "http.request", "body": b"", "more_body": False}]
    scope = request_scope(path, header)
    if last_event_id:
        scope["headers"].append((b"last-event-id", last_event_id.encode()))

    async def receive() -> Mapping[str, Any]:
        if incoming:
            return incoming.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app(scope, receive, stream.messages.put))  # type: ignore[arg-type]
        yield stream
        leaving.set()


def request_scope(path: str, header: str) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", header.encode()), (b"accept", b"text/event-stream")],
        "client": ("192.0.2.1", 1),
        "server": ("hub", 80),
    }
