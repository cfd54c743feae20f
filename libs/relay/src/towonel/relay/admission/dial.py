"""Dial of a lane by the agent: connected and admitted, or failed with a code."""

import os
import socket
from dataclasses import dataclass
from errno import EINPROGRESS
from ipaddress import ip_address
from typing import Final, override

from towonel.identity.lanes import LaneIdentity, LaneSeal, Role, check_proof, prove
from towonel.relay.loop import BROKEN, WRITABLE, Handler, Loop
from towonel.relay.sockets import tune
from towonel.wire import lane_admission
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
    """

    session_id: bytes
    secret: bytes
    edge_id: bytes
    certificate_hash: bytes
    address: tuple[str, int]


class DialOwner:
    """Owner of dials: told how each ended."""

    def on_admitted(self, dial: "LaneDial", seal: LaneSeal) -> None:
        """Make a lane of the socket of `dial`, which is in the loop."""
        raise NotImplementedError

    def on_failed(self, dial: "LaneDial", code: Code) -> None:
        """Act on a dial that failed; the socket is closed."""
        raise NotImplementedError


class LaneDial(Handler):
    """Dial of one lane."""

    def __init__(self, target: LaneTarget, loop: Loop, owner: DialOwner) -> None:
        self._target = target
        self._loop = loop
        self._owner = owner
        family = (
            socket.AF_INET6 if ip_address(target.address[0]).version == _IPV6 else socket.AF_INET
        )
        self.sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._descriptor = self.sock.fileno()
        self._nonce = os.urandom(NONCE_BYTES)
        self._connected = False
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

    @override
    def on_ready(self, events: int) -> None:
        if self._over:
            return
        if events & BROKEN:
            self.fail(Code.SESSION_LOST)
            return
        try:
            if not self._connected and events & WRITABLE:
                self._greet()
            if self._connected:
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
        self._connected = True
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
