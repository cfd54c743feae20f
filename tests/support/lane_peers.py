"""Peers of lanes, spoken byte by byte: an agent or an edge that does what honest ones do not."""

import os
import socket
from dataclasses import dataclass

from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.relay import SECRET, SESSION, WAIT_S

from towonel.identity.lanes import SEAL_BYTES, LaneIdentity, LaneSeal, Role, prove
from towonel.wire import lane_admission, lane_open, lanes
from towonel.wire.lane_admission import (
    ANSWER_BYTES,
    HELLO_BYTES,
    MAC_BYTES,
    NONCE_BYTES,
    LaneAnswer,
    LaneHello,
)
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import HEAD, HEAD_BYTES, FrameType


@dataclass(frozen=True)
class LaneKeys:
    """What an agent proves and checks on a lane: its session's, and its edge's."""

    session_id: bytes = SESSION
    secret: bytes = SECRET
    edge_id: bytes = EDGE_ID
    certificate_hash: bytes = CERTIFICATE_HASH

    def identify(self, nonce: bytes, edge_nonce: bytes) -> LaneIdentity:
        """Return the identity of a lane with these nonces."""
        return LaneIdentity(self.session_id, nonce, edge_nonce, self.edge_id, self.certificate_hash)


OF_TESTS = LaneKeys()


@dataclass
class LanePeer:
    """One end of a lane that is admitted."""

    sock: socket.socket
    seal: LaneSeal

    def __post_init__(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self, use: int, content: bytes) -> bytes:
        """Return a whole OPEN."""
        head = lanes.encode_head(FrameType.OPEN, use, len(content) + SEAL_BYTES)
        return head + self.seal.seal(use, head, content)

    def read_frame(self) -> tuple[FrameType, int, bytes]:
        """Return the next frame, apart from pings, which are answered."""
        while True:
            (word,) = HEAD.unpack(receive(self.sock, HEAD_BYTES))
            kind, use, length = lanes.decode_head(word)
            payload = receive(self.sock, length)
            if kind is FrameType.PING:
                self.sock.sendall(lanes.encode_head(FrameType.PONG, 0, length) + payload)
            elif kind is not FrameType.PONG:
                return kind, use, payload

    def is_closed(self) -> bool:
        """Wait for the end of the lane."""
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return True


def read_open(lane: LanePeer, use: int = 1) -> LaneOpen:
    """Return the content of the OPEN that is to come next."""
    kind, number, payload = lane.read_frame()
    assert (kind, number) == (FrameType.OPEN, use)
    assert len(payload) > SEAL_BYTES
    return lane_open.decode(
        lane.seal.open(use, lanes.encode_head(kind, use, len(payload)), payload)
    )


def receive(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes."""
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += more
    return data


def greet(address: tuple[str, int], session_id: bytes = SESSION) -> tuple[socket.socket, bytes]:
    """Connect as an agent, and return the socket and the nonce of the hello that is sent."""
    sock = socket.create_connection(address, timeout=WAIT_S)
    return sock, greet_on(sock, session_id)


def greet_on(sock: socket.socket, session_id: bytes = SESSION) -> bytes:
    """Send a hello, and return its nonce."""
    nonce = os.urandom(NONCE_BYTES)
    sock.sendall(lane_admission.encode_hello(LaneHello(session_id, nonce)))
    return nonce


def dial_lane(address: tuple[str, int], keys: LaneKeys = OF_TESTS) -> LanePeer:
    """Be admitted by an edge as an agent."""
    return dial_lane_on(socket.create_connection(address, timeout=WAIT_S), keys)


def dial_lane_on(sock: socket.socket, keys: LaneKeys = OF_TESTS) -> LanePeer:
    """Be admitted by an edge, on a connection of any kind."""
    nonce = greet_on(sock, keys.session_id)
    answer = lane_admission.decode_answer(receive(sock, ANSWER_BYTES))
    assert isinstance(answer, LaneAnswer), answer
    identity = keys.identify(nonce, answer.nonce)
    sock.sendall(prove(keys.secret, Role.AGENT, identity))
    return LanePeer(sock, LaneSeal(keys.secret, identity))


def accept_lane(
    server: socket.socket,
    secret: bytes = SECRET,
    edge_id: bytes = EDGE_ID,
    certificate_hash: bytes = CERTIFICATE_HASH,
) -> LanePeer:
    """Admit the next lane of an agent as an edge."""
    server.settimeout(WAIT_S)
    sock = server.accept()[0]
    sock.settimeout(WAIT_S)
    try:
        return accept_lane_on(sock, secret, edge_id, certificate_hash)
    except OSError:
        sock.close()
        raise


def accept_lane_on(
    sock: socket.socket,
    secret: bytes = SECRET,
    edge_id: bytes = EDGE_ID,
    certificate_hash: bytes = CERTIFICATE_HASH,
) -> LanePeer:
    """Admit a lane of an agent, on a connection of any kind."""
    hello = lane_admission.decode_hello(receive(sock, HELLO_BYTES))
    nonce = os.urandom(NONCE_BYTES)
    identity = LaneIdentity(hello.session_id, hello.nonce, nonce, edge_id, certificate_hash)
    answer = LaneAnswer(nonce, prove(secret, Role.EDGE, identity))
    sock.sendall(lane_admission.encode_answer(answer))
    receive(sock, MAC_BYTES)
    return LanePeer(sock, LaneSeal(secret, identity))
