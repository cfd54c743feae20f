"""An edge's view of one agent: admitted once, then streams to it for as long as its grant holds."""

import asyncio
import secrets
from typing import Protocol, override

from towonel.identity.grants import Grant
from towonel.tunnel.channel import Channel, ChannelHandler
from towonel.tunnel.close_reason import CloseReason
from towonel.tunnel.connection import Connection
from towonel.tunnel.handshake import EdgeHandshake
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.stream import Stream
from towonel.wire import preamble as preambles
from towonel.wire.errors import Code, ProtocolError, Unavailable
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.messages import (
    NONCE_BYTES,
    SESSION_ID_BYTES,
    GoAway,
    Hello,
    Message,
    Renew,
    Welcome,
)
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import Preamble

HELLO_TIMEOUT_S = 5.0  # from the first datagram to a Hello that holds
SILENCE_S = 0.4  # an answer to a ping takes a round trip; the slowest links have 0.3 s
ACCEPTED = b"\x01"


class SessionListener(Protocol):
    """Is told what becomes of sessions."""

    def now_ms(self) -> int:
        """Unix time."""
        ...

    def admitted(self, session: "Session") -> None:
        """An agent is in."""
        ...

    def ended(self, session: "Session", code: Code) -> None:
        """A session that was admitted is over."""
        ...

    def refused(self, code: Code, detail: str, peer: str) -> None:
        """Somebody came and was not admitted."""
        ...


class Session(ChannelHandler):
    """One agent, from its first datagram. Nothing below is to be used before it is admitted."""

    grant: Grant
    services: frozenset[ServiceKey]
    software: str
    since_ms: int  # Unix time of its admission

    def __init__(
        self, connection: Connection, handshake: EdgeHandshake, listener: SessionListener
    ) -> None:
        self.connection = connection
        self._handshake = handshake
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._deadline = self._loop.call_later(HELLO_TIMEOUT_S, self._hello_timed_out)
        self._pinged_at: float | None = None
        self.session_id = secrets.token_bytes(SESSION_ID_BYTES)
        self.going_away = False
        self.channel = Channel(connection, self, opens=True)

    @property
    def agent_id(self) -> AgentId:
        """Who the agent is."""
        return self.grant.agent_id

    @property
    def tenant_id(self) -> TenantId:
        """For whom it speaks."""
        return self.grant.tenant_id

    @property
    def group(self) -> str:
        """The group that it is a replica of."""
        return self.grant.group

    @property
    def peer(self) -> str:
        """Where the agent is now, `host:port`."""
        return self.connection.peer

    @property
    def active(self) -> int:
        """Streams that are open."""
        return self.channel.streams.count

    @property
    def is_admitted(self) -> bool:
        """Whether the agent was let in, and is not gone."""
        return self.channel.is_admitted and self.connection.close_reason is None

    @property
    def is_silent(self) -> bool:
        """Whether the agent owes a sign of life for longer than `SILENCE_S`."""
        asked_at = self._pinged_at
        if asked_at is None or self.connection.heard_at >= asked_at:
            return False
        return self._loop.time() - asked_at >= SILENCE_S

    async def open(self, preamble: Preamble, first: bytes, *, allow_silent: bool = True) -> Pipe:
        """Open a stream to the agent's service, and wait until the agent has reached its origin.

        Args:
            preamble: who the client is, and which service it asked for.
            first: the client's first bytes; they may be on their way when this raises.
            allow_silent: wait for an agent that is silent, too, because there is no other.

        Raises:
            Unavailable: SESSION_SILENT, SESSION_LOST, GOING_AWAY, OVERLOADED, or the agent's code.
            ProtocolError: UNEXPECTED_MESSAGE for an answer that is none.
        """
        if self.going_away:
            raise Unavailable(Code.GOING_AWAY, "session")
        if self.is_silent and not allow_silent:
            raise Unavailable(Code.SESSION_SILENT, self.peer)
        stream = self.channel.streams.open()
        try:
            await stream.write(preambles.encode(preamble) + first)
            await self._wait_for_answer(stream, allow_silent=allow_silent)
        except BaseException:
            stream.abort(Code.CANCELLED)
            raise
        return stream

    def close(self, code: Code) -> None:
        """End the session and every stream on it."""
        self.channel.close(code)

    def go_away(self) -> None:
        """Ask the agent to use another session for what comes."""
        if self.is_admitted and not self.going_away:
            self.going_away = True
            self.channel.send(GoAway())

    @override
    def established(self) -> None:
        self.channel.send(self._handshake.challenge(self._nonce))

    @override
    def message(self, message: Message) -> None:
        match message:
            case Hello() if not self.channel.is_admitted:
                self._admit(message)
            case Renew() if self.channel.is_admitted:
                now_ms = self._listener.now_ms()
                self._use_grant(self._handshake.renew(self.grant, message.grant, now_ms), now_ms)
            case GoAway() if self.channel.is_admitted:
                self.going_away = True
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, type(message).__name__)

    @override
    def incoming(self, stream: Stream) -> None:
        raise AssertionError("an agent's own streams are refused before")

    @override
    def ended(self, ending: CloseReason) -> None:
        self._deadline.cancel()
        if self.channel.is_admitted:
            self._listener.ended(self, ending.code)
        else:
            self._listener.refused(ending.code, ending.detail, self.peer)

    def _admit(self, hello: Hello) -> None:
        now_ms = self._listener.now_ms()
        self._use_grant(self._handshake.admit(hello, self._nonce, now_ms), now_ms)
        self.services = frozenset(hello.services)
        self.software = hello.software
        self.since_ms = now_ms
        self.channel.is_admitted = True
        self.channel.send(Welcome(self.session_id))
        self._listener.admitted(self)

    def _use_grant(self, grant: Grant, now_ms: int) -> None:
        self.grant = grant
        self._deadline.cancel()
        left_s = max(0, grant.not_after_ms - now_ms) / 1000
        self._deadline = self._loop.call_later(left_s, self.close, Code.GRANT_EXPIRED)

    def _hello_timed_out(self) -> None:
        self.channel.close(Code.HELLO_TIMEOUT, f"no Hello within {HELLO_TIMEOUT_S:g} s")

    async def _wait_for_answer(self, stream: Stream, *, allow_silent: bool) -> None:
        """Wait for the byte that accepts; ask for a sign of life while there is none."""
        while True:
            self._ping()
            try:
                async with asyncio.timeout(SILENCE_S):
                    answer = await stream.read(1)
            except TimeoutError:
                if self.is_silent and not allow_silent:
                    raise Unavailable(Code.SESSION_SILENT, self.peer) from None
                continue
            if answer != ACCEPTED:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"{answer!r} instead of an answer")
            return

    def _ping(self) -> None:
        """Ping, unless an earlier one is still to be answered: its age is what counts."""
        if self._pinged_at is None or self.connection.heard_at >= self._pinged_at:
            self._pinged_at = self.connection.ping()
