"""Agent that an edge has admitted, and that keeps no rule of the protocol."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from support.raw_quic import CONTROL, RawQuic, stream_frame
from support.stack import Stack, until

from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.keys import NodeKey, TenantKey
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.wire import base64url
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import EdgeId
from towonel.wire.messages import Challenge, Decoder, Hello, Message, Welcome, encode
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.tokens import InviteToken


class RawAgent(RawQuic):
    """An admitted agent that keeps no rule of the protocol."""

    def __init__(self, port: int, source: str = "127.0.0.1", window: int = 2**20) -> None:
        super().__init__(port, source, window)
        self._decoder = Decoder()
        self._read = 0
        self.messages: list[Message] = []

    async def message(self, kind: type[Message]) -> Message:
        """The first message of a kind."""
        found: list[Message] = []

        def came() -> bool:
            control = self.data.get(CONTROL, bytearray())
            self.messages += filter(None, self._decoder.feed(bytes(control[self._read :])))
            self._read = len(control)
            found[:] = [message for message in self.messages if isinstance(message, kind)]
            return bool(found)

        await self.until(lambda: came() or self.is_closed)
        if not found:
            raise ConnectionError(f"the edge has closed with {self.close_code}")
        return found[0]

    def say(self, *messages: Message) -> None:
        """Send messages on the control stream."""
        for message in messages:
            self.quic.send_stream_data(CONTROL, encode(message))
        self.flush()

    def control_frame(self, *messages: Message) -> bytes:
        """A STREAM frame with messages; what `say` sends afterwards would overwrite them."""
        data = b"".join(map(encode, messages))
        sender = self.quic._streams[CONTROL].sender
        offset, sender._buffer_stop = sender._buffer_stop, sender._buffer_stop + len(data)
        return stream_frame(CONTROL, offset, data)

    async def hello(self, identity: "AgentIdentity", *hostnames: str) -> None:
        challenge = await self.message(Challenge)
        assert isinstance(challenge, Challenge)
        self.say(identity.answer(challenge, *hostnames))
        await self.message(Welcome)


async def patiently[T](ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a hub again when it says so: all tests of a module come from one address."""
    while True:
        try:
            return await ask()
        except Unavailable as refused:
            assert refused.code is Code.RATE_LIMITED
            await asyncio.sleep(refused.retry_after_s or 1)


class AgentIdentity:
    """What a hub has given an agent."""

    def __init__(self, token: str) -> None:
        self.token = InviteToken.decode(token)
        self.tenant = TenantKey.from_seed(self.token.seed)
        self.key = NodeKey.from_seed(ssl.RAND_bytes(32))
        self.grant = b""
        self.edge: EdgeIdentity | None = None

    async def bootstrap(self, hub: HubClient, group: str = "raw") -> "AgentIdentity":
        answer = await patiently(lambda: hub.bootstrap(self.token, self.key, group))
        assert answer.grant
        self.grant = base64url.decode(answer.grant)
        services = [ServiceIn(kind="https", name=name) for name in answer.hostnames]
        state = DesiredState(group=group, services=services)
        await patiently(lambda: hub.apply_desired_state(self.tenant, state))
        edge = answer.edges[0]
        self.edge = EdgeIdentity(
            EdgeId(edge.edge_id), edge.certificate_pem, edge.certificate_sha256
        )
        return self

    def answer(self, challenge: Challenge, *hostnames: str) -> Hello:
        assert self.edge
        services = [ServiceKey(ServiceKind.HTTPS, name) for name in hostnames]
        return AgentHandshake(self.key, self.grant, services, "raw").answer(challenge, self.edge)


@contextlib.asynccontextmanager
async def raw_agent(stack: Stack, token: str, hostname: str) -> AsyncIterator[RawAgent]:
    """An agent that the edge has admitted."""
    async with HubClient(stack.hub_url) as hub:
        identity = await AgentIdentity(token).bootstrap(hub)
    await until(stack.edges_are_up_to_date)
    agent = RawAgent(stack.edge_port)
    with agent:
        await agent.connected()
        await agent.hello(identity, hostname)
        yield agent
