"""Admission of a lane at the edge: what a connection has to prove before it is one."""

import os
from socket import SocketType
from typing import Final, Protocol, override

from towonel.identity.lanes import LaneIdentity, LaneSeal, Role, check_proof, prove
from towonel.relay.core.lane_pool import MAX_IDLE
from towonel.relay.loop import BROKEN, Handler, Loop
from towonel.relay.sessions.edge import LaneSession
from towonel.relay.sockets import end_on_close
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire import lane_admission
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError
from towonel.wire.lane_admission import HELLO_BYTES, MAC_BYTES, NONCE_BYTES, LaneAnswer, LaneHello

_MAX_READS: Final = 8  # at a time
_CROSSING: Final = 64  # lanes that are idle here already, and not yet at an agent that dials others


class Admitter(Protocol):
    """Owner of half-open lanes: knows the sessions, and is told how each admission ended."""

    edge_id: bytes
    certificate_hash: bytes

    def find(self, session_id: bytes) -> LaneSession | None:
        """Return the session that a lane may belong to."""
        ...

    def on_admitted(self, half: "HalfOpenLane", session: LaneSession, seal: LaneSeal) -> None:
        """Make a lane of the socket of `half`, which is in the loop."""
        ...

    def on_refused(self, half: "HalfOpenLane", code: Code) -> None:
        """Count a refusal; the socket is closed."""
        ...


class HalfOpenLane(Handler):
    """Lane that is not admitted yet.

    Args:
        sock: non-blocking; registered with the loop, and closed unless it is admitted.
        loop: of the worker.
        owner: knows the sessions.
        data: bytes that were read of it.
        source: whom it counts for.
    """

    def __init__(
        self, sock: SocketType, loop: Loop, owner: Admitter, data: bytes, source: object
    ) -> None:
        self.sock = sock
        self.source = source
        self._descriptor = sock.fileno()
        self._loop = loop
        self._owner = owner
        self._data = data
        self._identity: LaneIdentity | None = None  # from the hello on
        self._session: LaneSession | None = None
        self._over = False

    def start(self, admission_s: float) -> None:
        """Begin: the whole admission may take so long."""
        self._loop.add(self._descriptor, self)
        self._loop.wheel.arm(self, admission_s)
        self._advance()

    @override
    def on_ready(self, events: int) -> None:
        if events & BROKEN:
            self.refuse(Code.CLIENT_CLOSED)
        else:
            self._advance()

    @override
    def expire(self) -> None:
        self.refuse(Code.HELLO_TIMEOUT)

    def refuse(self, code: Code) -> None:
        """Close the connection, and say why if it waits for an answer."""
        if self._over:
            return
        if self._identity is None and code is not Code.CLIENT_CLOSED:
            send_refusal(self.sock, code)
        self._end()
        self._loop.forget(self._descriptor)
        self.sock.close()
        self._owner.on_refused(self, code)

    def _end(self) -> None:
        self._over = True
        self._loop.wheel.disarm(self)

    def _advance(self) -> None:
        """Read as much as the next message is long, and no more: the rest is the lane's."""
        for _ in range(_MAX_READS):
            needed = HELLO_BYTES if self._identity is None else MAC_BYTES
            try:
                if len(self._data) < needed:
                    self._receive(needed)
                if len(self._data) >= needed:
                    self._act()
            except BlockingIOError:
                return
            except OSError:
                self.refuse(Code.CLIENT_CLOSED)
            except TowonelError as error:
                self.refuse(error.code)
            if self._over:
                return
        self.refuse(Code.MALFORMED)  # an honest agent sends each message at once

    def _receive(self, needed: int) -> None:
        data = self.sock.recv(needed - len(self._data))
        if not data:
            raise ConnectionResetError
        self._data += data

    def _act(self) -> None:
        data, self._data = self._data, b""
        if self._identity is None:
            self._answer(lane_admission.decode_hello(data))
        else:
            self._admit(self._identity, data)

    def _answer(self, hello: LaneHello) -> None:
        session = self._owner.find(hello.session_id)
        if session is None:
            raise Denied(Code.WRONG_EDGE, "the session is not known here")
        if session.spare >= MAX_IDLE + _CROSSING:
            raise Denied(Code.LIMIT_EXCEEDED, f"{session.spare} lanes of the session are idle")
        if session.tls_only and not isinstance(self.sock, TlsSocket):
            raise Denied(Code.NOT_TLS, "lanes of this pool are inside TLS")
        _check_staying(session)
        owner, nonce = self._owner, os.urandom(NONCE_BYTES)
        identity = LaneIdentity(
            hello.session_id, hello.nonce, nonce, owner.edge_id, owner.certificate_hash
        )
        mac = prove(session.secret, Role.EDGE, identity)
        self._session, self._identity = session, identity
        answer = lane_admission.encode_answer(LaneAnswer(nonce, mac))
        if self.sock.send(answer) < len(answer):
            raise ProtocolError(Code.FLOW_CONTROL, "no room for an answer")

    def _admit(self, identity: LaneIdentity, mac: bytes) -> None:
        session = self._session
        assert session is not None, "the hello named it"
        check_proof(mac, session.secret, Role.AGENT, identity)
        _check_staying(session)
        self._end()
        self._owner.on_admitted(self, session, LaneSeal(session.secret, identity))


def send_refusal(sock: SocketType, code: Code) -> None:
    """Tell the agent why, as far as it goes, in a close that lets it arrive."""
    try:
        end_on_close(sock)
        sock.send(lane_admission.encode_refusal(code))
    except OSError:
        pass


def _check_staying(session: LaneSession) -> None:
    if session.going_away:
        raise Denied(Code.GOING_AWAY, "the session takes no clients any more")
