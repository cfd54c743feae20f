"""Connection of a session inside TLS over TCP, where UDP is blocked: the control stream alone.

Its clients go by lanes. There is nothing to keep in order beside the control stream, so frames need no
more than TCP gives; pings and the close, which QUIC has, are frames of their own.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import override

from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.tunnel.core.bounds.send_budget import MAX_SESSION_BYTES, SendBudget
from towonel.tunnel.core.bounds.token_bucket import TokenBucket
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.failure_detector import FailureDetector
from towonel.tunnel.core.keepalive import Action, Keepalive
from towonel.tunnel.core.stream_ids import CONTROL_STREAM
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.connection import ConnectionHandler
from towonel.tunnel.quic.pings import Pings
from towonel.tunnel.tcp.secure_socket import SecureSocket
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code, ProtocolError, TowonelError
from towonel.wire.tcp import session_frames
from towonel.wire.tcp.session_frames import PING_BYTES, SessionFrame, SessionFrameDecoder

READ_BYTES = 64 * 1024
MAX_READS = 4  # at a time, before others get their turn
MAX_UNSENT_BYTES = 256 * 1024
PINGS_PER_S, PINGS_AT_ONCE = 20, 100  # that are answered
FRAMES_PER_S, FRAMES_AT_ONCE = 100, 512  # of any type: a message has one, or four at its longest


class TcpConnection(Transport):
    """Connection over a socket, which belongs to this from now on.

    Args:
        sock: connected; its handshake is still to come.
        peer: its address, `host:port`.
        make_handler: makes the handler of this connection.
        check_peer: called when the handshake is done; raises `TowonelError` for a peer that it is not.
        on_closed: called once, after the handler.
        keepalive_s: without a byte of the peer, until it is pinged.
        timing: `idle_s`, and those of `Keepalive`.
    """

    def __init__(
        self,
        sock: SecureSocket,
        peer: str,
        make_handler: Callable[[Transport], ConnectionHandler],
        *,
        check_peer: Callable[[], None] = lambda: None,
        on_closed: Callable[[], None] = lambda: None,
        keepalive_s: float = DEFAULT_TIMING.edge_keepalive_s,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._sock = sock
        self._peer = peer
        self._check_peer = check_peer
        self._on_closed = on_closed
        self._idle_s = timing.idle_s
        self._loop = asyncio.get_running_loop()
        self._last_received_at = self._loop.time()
        self._decoder = SessionFrameDecoder()
        self._unsent = bytearray()
        self._waits = False  # for room in the kernel
        self._is_secure = False
        self._next_read: asyncio.Handle | None = None
        self._next_check: asyncio.TimerHandle | None = None
        self._detector = FailureDetector()
        self._pings = Pings(self._send_ping, self._detector)
        self._keepalive = Keepalive(self._detector, keepalive_s, timing, self._last_received_at)
        self._answers = TokenBucket(PINGS_PER_S, PINGS_AT_ONCE, self._last_received_at)
        self._frames = TokenBucket(FRAMES_PER_S, FRAMES_AT_ONCE, self._last_received_at)
        self.send_budget = SendBudget(MAX_SESSION_BYTES)
        self.receive_share = ReceiveShare()
        self.close_reason: CloseReason | None = None
        self.has_streams = False
        self._handler = make_handler(self)  # last: it sees a whole connection
        self._loop.add_reader(sock.fileno(), self._advance)
        self._next_read = self._loop.call_soon(self._advance)  # bytes were read of it before

    @property
    @override
    def peer(self) -> str:
        return self._peer

    @property
    @override
    def rtt_s(self) -> float:
        return self._pings.rtt_s

    @property
    @override
    def unanswered_s(self) -> float:
        return self._detector.unanswered_s(self._last_received_at, self._loop.time())

    @property
    @override
    def has_room_for_stream(self) -> bool:
        return False

    @override
    def budget_of(self, stream_id: int) -> SendBudget:
        return self.send_budget

    @override
    def widen(self) -> None:
        """Nothing is to be done: TCP has a window for all."""

    @override
    def new_stream_id(self) -> int:
        return 0  # below that of every stream: none may be open

    @override
    def send(self, stream_id: int, data: bytes, *, is_end: bool = False) -> bool:
        assert stream_id == CONTROL_STREAM, "there are no others"
        self._send_frames(session_frames.encode_control(data))
        return True

    @override
    def reset(self, stream_id: int, code: Code) -> None:
        raise AssertionError("there is no stream")

    @override
    def stop(self, stream_id: int, code: Code) -> None:
        raise AssertionError("there is no stream")

    @override
    def ping(self) -> None:
        if self.close_reason is None:
            self._pings.ask(self._loop.time(), self._last_received_at)

    @override
    def hasten_check(self) -> None:
        """Nobody waits on a stream."""

    @override
    def close(self, reason: CloseReason) -> None:
        if self.close_reason is None:
            if self._is_secure:
                self._send_frames(session_frames.encode_close(reason.code))
            if self.close_reason is None:
                self._end(reason)

    def _is_over(self) -> bool:
        return self.close_reason is not None

    # What comes.

    def _advance(self) -> None:
        if self._next_read is not None:
            self._next_read.cancel()
            self._next_read = None
        try:
            if not self._is_secure:
                self._secure()
            self._read()
        except BlockingIOError:
            return
        except OSError as error:
            self._end(CloseReason(Code.SESSION_LOST, str(error)))
        except TowonelError as error:
            self.close(CloseReason(error.code, error.detail))
        except Exception as error:  # noqa: BLE001  # a bug met by one peer ends one connection
            self._crash(error)

    def _secure(self) -> None:
        self._sock.shake_hands()
        self._check_peer()
        self._is_secure = True
        self.ping()
        self._arm_check()
        self._handler.on_handshake_completed()

    def _read(self) -> None:
        for _ in range(MAX_READS):
            if self._is_over():
                return
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError("ended without a close")
            self._last_received_at = self._loop.time()
            for kind, payload in self._decoder.feed(data):
                self._act(kind, payload)
                if self._is_over():
                    return
        self._next_read = self._loop.call_soon(self._advance)

    def _act(self, kind: SessionFrame, payload: bytes) -> None:
        if not self._frames.take(self._last_received_at):
            raise ProtocolError(Code.RATE_LIMITED, "frames without end")
        match kind:
            case SessionFrame.CONTROL:
                self._handler.on_stream_data(CONTROL_STREAM, payload, is_end=False)
            case SessionFrame.CLOSE:
                self._end(CloseReason(session_frames.decode_code(payload), "closed by the peer"))
            case SessionFrame.PING:
                if not self._answers.take(self._loop.time()):
                    raise ProtocolError(Code.RATE_LIMITED, "pings")
                self._send_frames(session_frames.encode(SessionFrame.PONG, payload))
            case SessionFrame.PONG:
                self._pings.measure(int.from_bytes(payload), self._loop.time())

    # What goes.

    def _send_ping(self, number: int) -> None:
        payload = number.to_bytes(PING_BYTES)
        self._send_frames(session_frames.encode(SessionFrame.PING, payload))

    def _send_frames(self, frames: bytes) -> None:
        self.send_budget.take(len(frames))
        self._unsent += frames
        if len(self._unsent) > MAX_UNSENT_BYTES:
            self._end(CloseReason(Code.OVERLOADED, "the peer does not read"))
        elif self.close_reason is None and not self._waits:
            self._flush()

    def _flush(self) -> None:
        sent = 0
        try:
            with memoryview(self._unsent) as unsent:
                sent = self._sock.send(unsent)
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(CloseReason(Code.SESSION_LOST, str(error)))
            return
        del self._unsent[:sent]
        self.send_budget.release(sent)
        if self._waits != bool(self._unsent):
            self._waits = bool(self._unsent)
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        if self._waits:
            self._loop.add_writer(self._sock.fileno(), self._flush)
        else:
            self._loop.remove_writer(self._sock.fileno())

    # Its life.

    def _arm_check(self) -> None:
        self._next_check = self._loop.call_at(self._keepalive.next_at, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._last_received_at >= self._idle_s:
            self.close(CloseReason(Code.SESSION_LOST, "the peer does not answer"))
            return
        action = self._keepalive.check(now, self._last_received_at, has_streams=False)
        if action is Action.PING:
            self.ping()
        if self.close_reason is None:
            self._arm_check()

    def _crash(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "a session over TCP failed on what came", "exception": error}
        )
        self.close(CloseReason(Code.INTERNAL, type(error).__name__))

    def _end(self, reason: CloseReason) -> None:
        if self.close_reason is not None:
            return
        self.close_reason = reason
        for handle in (self._next_read, self._next_check):
            if handle is not None:
                handle.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        with contextlib.suppress(OSError):
            self._sock.end()
        self._sock.close()
        self.send_budget.leave()
        self.receive_share.leave()
        self._handler.on_closed(reason)
        self._on_closed()
