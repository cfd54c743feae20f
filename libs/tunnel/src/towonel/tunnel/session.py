"""Session: an edge's end of a connection to one agent, and the streams opened on it."""

import asyncio
import secrets
from collections.abc import Callable, Collection
from typing import Protocol, override

from towonel.identity.grants import Grant
from towonel.tunnel.channel import Channel, ChannelHandler
from towonel.tunnel.core.bounds.receive_budget import ReceiveBudget
from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import GoAwayRequested
from towonel.tunnel.core.handshake import EdgeHandshake
from towonel.tunnel.core.machine import State
from towonel.tunnel.core.session_machine import SessionMachine
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.stream import Stream
from towonel.tunnel.transport import Transport
from towonel.wire import preamble as preambles
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.messages import NONCE_BYTES, SECRET_BYTES, SESSION_ID_BYTES
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import Preamble
from towonel.wire.session.balance_hints import BalanceHints

ACCEPTED = b"\x01"


class SessionListener(Protocol):
    """Observer of the life of sessions."""

    def on_admitted(self, session: "Session") -> None:
        """An agent was admitted."""
        ...

    def on_going_away(self, session: "Session") -> None:
        """The agent of a session takes no more clients on it."""
        ...

    def on_services_changed(
        self, session: "Session", before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        """The agent of a session serves something else than before, or has other hints."""
        ...

    def on_ended(self, session: "Session", code: Code) -> None:
        """A session whose agent was admitted is over."""
        ...


class AdmissionPolicy(SessionListener, Protocol):
    """Policy of an edge: which agents it admits; also observes what becomes of them."""

    has_lanes: bool = False  # whether they may dial lanes

    def now_ms(self) -> int:
        """Return the Unix time."""
        ...

    def hub_ids(self) -> Collection[bytes]:
        """Return the hubs whose grants count."""
        ...

    def refuse(self, grant: Grant) -> Code | None:
        """Return why a grant that is in order is refused all the same, or None."""
        ...

    def refuse_more(
        self, grant: Grant, services: Collection[ServiceKey], *, is_replacement: bool
    ) -> Denied | None:
        """Return why no session with these services is admitted beside others, or in one's place."""
        ...

    def source_of(self, host: str) -> str:
        """Return what counts as one source of handshakes."""
        ...

    def budgets_of(self, tenant_id: TenantId) -> tuple[SendBudget, ReceiveBudget]:
        """Return the budgets of what is sent and of what arrived on all sessions of a tenant."""
        ...

    def on_refused(self, code: Code, detail: str, peer: str) -> None:
        """A client was not admitted."""
        ...


class Session(ChannelHandler):
    """Session with one agent, from its first datagram; the agent's attributes are set on admission.

    Args:
        connection: to the agent.
        handshake: checks the agent.
        listener: is called once the agent is admitted, and at the end.
        on_refused: called instead, with code, detail and peer, where the agent is not admitted.
        now_ms: Unix time.
        has_lanes: whether the agent may dial lanes for it.
        timing: `hello_s`, `renew_s`, `silence_s` and `open_silence_s`.
    """

    agent_id: AgentId
    tenant_id: TenantId
    group: str
    software: str
    since_ms: int  # Unix time of the admission
    hints: BalanceHints  # for load balancers

    def __init__(
        self,
        connection: Transport,
        handshake: EdgeHandshake,
        listener: SessionListener,
        *,
        on_refused: Callable[[Code, str, str], None],
        now_ms: Callable[[], int],
        has_lanes: bool = False,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.connection = connection
        self.has_streams = connection.has_streams  # else clients come over lanes alone
        self._listener = listener
        self._report_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self.session_id = secrets.token_bytes(SESSION_ID_BYTES)
        self.lane_secret = secrets.token_bytes(SECRET_BYTES) if has_lanes else None
        self._machine = SessionMachine(
            handshake,
            nonce=secrets.token_bytes(NONCE_BYTES),
            session_id=self.session_id,
            lane_secret=self.lane_secret,
            now=self._loop.time(),
            timing=timing,
        )
        self._silence_s = timing.silence_s
        self._open_silence_s = timing.open_silence_s
        self.channel = Channel(connection, self._machine, self, opens=True, now_ms=now_ms)

    @property
    def peer(self) -> str:
        """Address of the agent now, `host:port`."""
        return self.connection.peer

    @property
    def services(self) -> frozenset[ServiceKey]:
        """What the agent serves."""
        return self._machine.agent.services

    @property
    def active(self) -> int:
        """Number of open streams."""
        return self.channel.streams.count

    @property
    def going_away(self) -> bool:
        """Whether either end wants no new streams."""
        return self._machine.state is State.GOING_AWAY

    @property
    def is_silent(self) -> bool:
        """Whether the agent owes a sign of life for too long."""
        return self.connection.unanswered_s >= self._silence_s

    async def open(self, preamble: Preamble, first: bytes, *, allow_silent: bool = True) -> Pipe:
        """Open a stream to the agent's service, and wait until the agent has reached its origin.

        Args:
            preamble: of the client, with the service that it asked for.
            first: the client's first bytes; they may be on their way when this raises.
            allow_silent: wait for an agent that is silent, too, because there is no other; not
                for longer than `open_silence_s`.

        Raises:
            Unavailable: SESSION_SILENT, SESSION_LOST, GOING_AWAY, OVERLOADED, or the agent's code.
            ProtocolError: UNEXPECTED_MESSAGE for anything but the byte that accepts.
        """
        if self.going_away:
            raise Unavailable(Code.GOING_AWAY, "the session takes no more streams")
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

    def share_services(self, services: frozenset[ServiceKey]) -> None:
        """Hold a set that equals the agent's own in its place: one that other sessions hold."""
        self._machine.share_services(services)

    def close(self, code: Code) -> None:
        """End the session and every stream on it."""
        self.channel.close(CloseReason(code))

    def go_away(self) -> None:
        """Ask the agent to use another session for what comes."""
        self.channel.request(GoAwayRequested())

    @override
    def on_stream(self, stream: Stream) -> None:
        raise AssertionError("an agent's own streams are refused before")

    @override
    def on_opened(self) -> None:
        agent, grant = self._machine.agent, self._machine.agent.grant
        self.agent_id, self.tenant_id, self.group = grant.agent_id, grant.tenant_id, grant.group
        self.software, self.since_ms, self.hints = agent.software, agent.since_ms, agent.hints
        self._listener.on_admitted(self)

    @override
    def on_refused(self, reason: CloseReason) -> None:
        self._report_refused(reason.code, reason.detail, self.peer)

    @override
    def on_going_away(self) -> None:
        self._listener.on_going_away(self)

    @override
    def on_services_changed(self, before: frozenset[ServiceKey], hints: BalanceHints) -> None:
        self.hints = self._machine.agent.hints
        self._listener.on_services_changed(self, before, hints)

    @override
    def on_ended(self, reason: CloseReason) -> None:
        self._listener.on_ended(self, reason.code)

    async def _wait_for_answer(self, stream: Stream, *, allow_silent: bool) -> None:
        """Wait for the byte that accepts; ping while it does not come."""
        patience_s = self._open_silence_s if allow_silent else self._silence_s
        give_up_at = self._loop.time() + (patience_s if allow_silent else 0)
        while True:
            self.connection.ping()
            try:
                async with asyncio.timeout(self._silence_s):
                    answer = await stream.read(1)
            except TimeoutError:
                is_patient = self._loop.time() < give_up_at
                if not is_patient and self.connection.unanswered_s >= patience_s:
                    raise Unavailable(Code.SESSION_SILENT, self.peer) from None
                continue
            if answer != ACCEPTED:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"{answer!r} instead of an answer")
            return
