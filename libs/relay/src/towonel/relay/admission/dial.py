"""Dial of a lane by the agent: connected and admitted, or failed with a code."""

import os
import socket
from dataclasses import dataclass
from errno import EINPROGRESS
from ipaddress import ip_address
from typing import Final, Protocol, override

from towonel.identity.lanes import LaneIdentity, LaneSeal, Role, check_proof, prove
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.loop import BROKEN, WRITABLE, Handler, Loop
from towonel.relay.sockets import tune
from towonel.relay.tls.lane_tls import AgentTls
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire import lane_admission
from towonel.wire.addresses import EDGE_SERVER_NAME
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable
from towonel.wire.lane_admission import ANSWER_BYTES, NONCE_BYTES, LaneHello

_IPV6: Final = 6


@dataclass(frozen=True, slots=True)
class LaneTarget:
    """Session that lanes are dialed for, and where its edge is.

    Args:
        session_id: 16 bytes.
        secret: the session's lane secret.
        edge_id: the edge's key.
        certificate_hash: SHA-256 of the certificate that the session was opened under.
        address: IP and port that the session was dialed at.
        server_name: that a TLS lane asks for.
        kinds: of its lanes, in order of preference.
    """

    session_id: bytes
    secret: bytes
    edge_id: bytes
    certificate_hash: bytes
    address: tuple[str, int]
    server_name: str = EDGE_SERVER_NAME
    kinds: tuple[LaneKind, ...] = (LaneKind.PLAIN,)


class DialOwner(Protocol):
    """Owner of dials: told how each ended."""

    def on_admitted(self, dial: "LaneDial", seal: LaneSeal) -> None:
        """Make a lane of the socket of `dial`, which is in the loop."""
        ...

    def on_failed(self, dial: "LaneDial", code: Code) -> None:
        """Act on a dial that failed; the socket is closed."""
        ...


class LaneDial(Handler):
    """Dial of one lane.

    Args:
        target: whose lane it is.
        loop: of the worker.
        owner: told how it ended.
        tls: protects the lane; None for a plain one.

    Attributes:
        sock: connected or not.
    """

    def __init__(
        self, target: LaneTarget, loop: Loop, owner: DialOwner, tls: AgentTls | None = None
    ) -> None:
        self._target = target
        self._tls = tls
        self._loop = loop
        self._owner = owner
        family = (
            socket.AF_INET6 if ip_address(target.address[0]).version == _IPV6 else socket.AF_INET
        )
        self.sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if tls is not None:
            self.sock = tls.wrap(self.sock, target.server_name)
        self._descriptor = self.sock.fileno()
        self._nonce = os.urandom(NONCE_BYTES)
        self._connected = self._greeted = False
        self._answer = b""
        self._over = False

    def start(self, admission_s: float) -> None:
        """Connect; all of the admission may take so long."""
        self._loop.add(self._descriptor, self)
        self._loop.wheel.arm(self, admission_s)
        try:
            tune(self.sock)
            error = self.sock.connect_ex(self._target.address)
        except OSError:
            error = -1
        if error not in {0, EINPROGRESS}:
            self.fail(Code.SESSION_LOST)

    @property
    def kind(self) -> LaneKind:
        """Whether TLS protects it."""
        return LaneKind.TLS if isinstance(self.sock, TlsSocket) else LaneKind.PLAIN

    @override
    def on_ready(self, events: int) -> None:
        if self._over:
            return
        if events & BROKEN:
            self.fail(Code.SESSION_LOST)
            return
        try:
            self._connected = self._connected or bool(events & WRITABLE)
            if self._connected and not self._greeted:
                self._greet()
            if self._greeted:
                self._read_answer()
        except BlockingIOError:
            pass
        except OSError:
            self.fail(Code.SESSION_LOST)
        except TowonelError as error:
            self.fail(error.code)

    @override
    def expire(self) -> None:
        self.fail(Code.HELLO_TIMEOUT)

    def fail(self, code: Code) -> None:
        """Give up."""
        if self._over:
            return
        self._end()
        self._loop.forget(self._descriptor)
        self.sock.close()
        self._owner.on_failed(self, code)

    def _end(self) -> None:
        self._over = True
        self._loop.wheel.disarm(self)

    def _greet(self) -> None:
        if self._tls is not None and isinstance(self.sock, TlsSocket):
            self.sock.shake_hands()
            self._tls.check(self.sock, self._target.certificate_hash)
        self._greeted = True
        hello = lane_admission.encode_hello(LaneHello(self._target.session_id, self._nonce))
        self.sock.send(hello)  # the first bytes of a connection; they find room

    def _read_answer(self) -> None:
        while len(self._answer) < ANSWER_BYTES:
            data = self.sock.recv(ANSWER_BYTES - len(self._answer))
            if not data:
                raise Unavailable(Code.SESSION_LOST, "closed without an answer")
            self._answer += data
        self._admit(lane_admission.decode_answer(self._answer))

    def _admit(self, answer: lane_admission.LaneAnswer | Code) -> None:
        if isinstance(answer, Code):
            raise Denied(answer, "the edge refuses the lane")
        target = self._target
        identity = LaneIdentity(
            target.session_id,
            self._nonce,
            answer.nonce,
            target.edge_id,
            target.certificate_hash,
        )
        check_proof(answer.mac, target.secret, Role.EDGE, identity)
        self.sock.send(prove(target.secret, Role.AGENT, identity))
        self._end()
        self._owner.on_admitted(self, LaneSeal(target.secret, identity))
