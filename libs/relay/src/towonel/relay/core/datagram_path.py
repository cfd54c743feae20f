"""Path of sealed packets between the two ends of a session: whether they pass, and how large they may be.

    UNKNOWN ── heard ──▶ UP ── nothing heard for 3 s of what was sent ──▶ DOWN ── heard ──▶ UP
       └─────────── nothing heard for 3 s ───────────────────────────────▲

An end that sends and hears nothing asks by PING, each second, and both ask now and then. The agent asks as well when
it begins, which opens the way through its NAT, and while the path is down. PINGs of several sizes tell how large a
packet may be.
"""

from enum import Enum
from typing import Final

BASE_BYTES: Final = 1232  # of a packet; with the heads of UDP and IPv6, the 1 280 that every link takes (RFC 8200 §5)
# What most links take: Ethernet, PPPoE (RFC 2516), and tunnels.
SIZES_V4: Final = (1472, 1464, 1432, 1392, 1332)
SIZES_V6: Final = (1452, 1444, 1412, 1372, 1312)
SMALLEST: Final = 0  # size of a PING without padding
ASK_S: Final = 1.0
DOWN_S: Final = 3.0
KEEPALIVE_S: Final = 20.0
AGAIN_S: Final = 5.0  # between tries while the path is down
PROBE_AGAIN_S: Final = 600.0  # until larger packets are tried again
MAX_LOST_PROBES: Final = 3


class PathState(Enum):
    """State of a path."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class DatagramPath:
    """Path as one end sees it.

    Args:
        sizes: of packets that are tried, the largest first.
        now: in seconds.
        opens: whether this end opens the way: the agent.

    Attributes:
        state: whether packets pass.
        size: of the largest packet that may be sent, in bytes.
    """

    def __init__(self, sizes: tuple[int, ...], now: float, *, opens: bool) -> None:
        self.state = PathState.UNKNOWN
        self.size = BASE_BYTES
        self._sizes = sizes
        self._opens = opens
        self._waiting_since: float | None = now  # for an answer
        self._requested_at = now - KEEPALIVE_S
        self._probed_at = now - PROBE_AGAIN_S
        self._lost_probes = 0

    def note_sent(self, now: float) -> None:
        """Note a packet that was sent: something is to be heard soon."""
        if self._waiting_since is None:
            self._waiting_since = now

    def note_heard(self) -> None:
        """Note an authentic packet of the other end."""
        self._waiting_since = None
        self.state = PathState.UP

    def note_pong(self, size: int) -> None:
        """Note the answer to a PING whose packet had this size."""
        if size >= self.size:
            self._lost_probes = 0
            self.size = size

    def note_too_large(self, now: float) -> None:
        """Note that this machine sends no packets of the size any more."""
        self.size = BASE_BYTES
        self._probed_at = now - PROBE_AGAIN_S

    def tick(self, now: float) -> tuple[int, ...]:
        """Return the sizes of packets with a PING to send now; it is called each second."""
        waiting_s = 0.0 if self._waiting_since is None else now - self._waiting_since
        if waiting_s >= DOWN_S and self.state is not PathState.DOWN:
            self.state, self.size = PathState.DOWN, BASE_BYTES
        if not self._is_to_ask(waiting_s, now - self._requested_at):
            return ()
        self._requested_at = now
        self.note_sent(now)
        if self.state is not PathState.UP:
            return (SMALLEST,)
        if now - self._probed_at >= PROBE_AGAIN_S:
            self._probed_at = now
            return (SMALLEST, *self._sizes)
        return self._probe_again()

    def _is_to_ask(self, waiting_s: float, pause_s: float) -> bool:
        if self.state is PathState.UP:
            return pause_s >= (ASK_S if waiting_s >= ASK_S else KEEPALIVE_S)
        return self._opens and pause_s >= (AGAIN_S if self.state is PathState.DOWN else ASK_S)

    def _probe_again(self) -> tuple[int, ...]:
        """Ask whether packets of the size pass still, and use smaller ones if they do not."""
        if self.size == BASE_BYTES:
            return (SMALLEST,)
        self._lost_probes += 1
        if self._lost_probes > MAX_LOST_PROBES:
            self._lost_probes, self.size = 0, BASE_BYTES
            return (SMALLEST,)
        return (SMALLEST, self.size)
