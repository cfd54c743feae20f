"""Dial of an origin for a client of a lane: its addresses in turn, within the time that is given."""

import socket
from socket import SocketType
from typing import Final, override

from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_attempts import OriginAttempts, SocketAddress, to_code
from towonel.relay.agent_lanes import AgentUse
from towonel.relay.core.deadlines import Timed
from towonel.relay.hop.choice import Hop
from towonel.relay.loop import BROKEN, WRITABLE, Handler, Loop
from towonel.relay.sockets import connect
from towonel.wire.errors import Code

_NO_ATTEMPTS: Final = OriginAttempts(())  # at addresses that are to be looked up


class OriginDial(Timed, AgentUse):
    """Dial of one origin; who inherits from it is told how it ended.

    Args:
        addresses: of the origin.
        loop: of the worker.
        timeout_s: for all of it, the look-up of the name included.
        hop: connects, where it is compiled.

    Attributes:
        over: whether it has ended.
    """

    _delay: "_AttemptDelay | None" = None  # where there are several addresses

    def __init__(
        self, addresses: OriginAddresses, loop: Loop, timeout_s: float, hop: Hop | None = None
    ) -> None:
        self.loop = loop
        self.over = False
        self._addresses = addresses
        self._attempts = _NO_ATTEMPTS
        self._sockets: set[_Attempt] = set()
        self._tried: tuple[SocketAddress, ...] = ()
        self._timeout_s = timeout_s
        self._hop = hop

    # Hooks.

    def on_connected(self, sock: SocketType, events: int) -> None:
        """Relay the socket, which is in the loop; `events` is what epoll has said of it."""
        raise NotImplementedError

    def on_failed(self, code: Code, detail: str = "") -> None:
        """Act on an origin that was not reached."""
        raise NotImplementedError

    def on_given_up(self, code: Code) -> None:
        """Act on a client that is gone."""
        raise NotImplementedError

    def look_up(self) -> None:
        """Have `take_addresses` called once there are newer ones."""
        raise NotImplementedError

    def pick_port(self, address: SocketAddress) -> SocketAddress:
        """Return a known address with the port to dial."""
        return address

    # What happens.

    def start(self) -> None:
        """Begin: at once, if the addresses are known."""
        self.loop.wheel.arm(self, self._timeout_s)
        if self._addresses.are_fresh(self.loop.wheel.now):
            self._try(self._addresses.known)
        else:
            self.look_up()

    def take_addresses(self) -> None:
        """Go on with what the look-up has found, unless that failed already."""
        known = self._addresses.known
        if self.over:
            return
        if self._tried and set(known) == set(self._tried):
            self.end_by(self._attempts.code)
        else:
            self._try(known)

    def begin_attempts(self) -> None:
        """Begin the attempts that it is time for; give up if none is left."""
        attempts, now = self._attempts, self.loop.wheel.now
        while not self.over and (address := attempts.begin(now)) is not None:
            self._connect(address)
            if self._sockets and attempts.next_at is None:
                return  # the only one, most often
        if self.over:
            return
        if attempts.over:
            self._give_up()
        elif attempts.next_at is not None:
            self._delay = self._delay or _AttemptDelay(self)
            self.loop.delays.arm(self._delay, attempts.next_at - now)

    def end_attempt(self, attempt: "_Attempt", code: Code) -> None:
        """Act on an attempt that failed."""
        self._sockets.discard(attempt)
        attempt.close()
        self._attempts.fail(code)
        self.begin_attempts()

    def win(self, attempt: "_Attempt", events: int) -> None:
        """Hand over the socket of the first attempt that is connected."""
        self._sockets.discard(attempt)
        self.end_attempts()
        self.take(attempt.sock, events)

    def take(self, sock: SocketType, events: int) -> None:
        """Be done, with a socket that is connected."""
        self._end()
        self.on_connected(sock, events)

    @override
    def on_cancelled(self, code: Code) -> None:
        if not self.over:
            self._end()
            self.on_given_up(code)

    @override
    def expire(self) -> None:
        self.end_by(Code.ORIGIN_TIMEOUT)

    def _try(self, known: tuple[SocketAddress, ...]) -> None:
        self._tried = known
        self._attempts = OriginAttempts(known)
        self.begin_attempts()

    def _connect(self, address: SocketAddress) -> None:
        """Begin an attempt; most are under way afterwards, over loopback, too."""
        try:
            sock = connect(self.pick_port(address), self._hop)
        except OSError as error:
            self._attempts.fail(to_code(error.errno))
            return
        attempt = _Attempt(sock, self)
        self._sockets.add(attempt)
        self.loop.add(sock.fileno(), attempt)

    def _give_up(self) -> None:
        """Fail, unless the name may stand for other addresses by now, of which to hear first."""
        if self._addresses.are_doubtful(self.loop.wheel.now):
            self.look_up()
        else:
            self.end_by(self._attempts.code)

    def end_by(self, code: Code) -> None:
        """Fail."""
        self._end()
        self.on_failed(code)

    def _end(self) -> None:
        self.over = True
        self.loop.wheel.disarm(self)
        self.end_attempts()

    def end_attempts(self) -> None:
        """Give up all attempts."""
        if self._delay is not None:
            self.loop.delays.disarm(self._delay)
        for attempt in self._sockets:
            attempt.close()
        self._sockets.clear()


class _AttemptDelay(Timed):
    """Timer of the next attempt, while one is under way."""

    def __init__(self, dial: OriginDial) -> None:
        self._dial = dial

    @override
    def expire(self) -> None:
        self._dial.begin_attempts()

    @override
    def crash(self, error: Exception) -> None:
        self._dial.crash(error)


class _Attempt(Handler):
    """Attempt at one address, which is under way."""

    def __init__(self, sock: SocketType, dial: OriginDial) -> None:
        self.sock = sock
        self._dial = dial

    @override
    def on_ready(self, events: int) -> None:
        if not events & (WRITABLE | BROKEN):
            return
        if events & BROKEN and (number := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._dial.end_attempt(self, to_code(number))
        else:
            self._dial.win(self, events)

    @override
    def crash(self, error: Exception) -> None:
        self._dial.crash(error)

    def close(self) -> None:
        """Give the socket up."""
        self._dial.loop.forget(self.sock.fileno())
        self.sock.close()
