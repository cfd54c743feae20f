"""Impairment of a network: which packets are lost, doubled or held back; without a clock, and with its chance given."""

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

MAX_PACKETS = 4096  # as a router's queue: what comes on top of it is dropped
PROTOCOL_AT = 9  # in an IPv4 header (RFC 791 §3.1)
UDP = 17


@dataclass(frozen=True)
class Impairment:
    """Impairment of one direction of a link.

    Args:
        loss: share of packets that are dropped.
        duplicates: share of packets that come twice.
        delay_s: for which each is held.
        jitter_s: by which that is more or less, evenly drawn.
        reorders: whether a packet may overtake those before it.
        is_cut: whether all are dropped.
        blocked: IP protocols of which all are dropped.
    """

    loss: float = 0.0
    duplicates: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    reorders: bool = False
    is_cut: bool = False
    blocked: tuple[int, ...] = ()


NONE = Impairment()


class DelayQueue:
    """Queue of the packets that are on their way in one direction.

    Attributes:
        impairment: of packets that come from now on.
        counts: of packets that `came`, and were `blocked`, `lost`, `duplicated`, `reordered` or `overflowed`.
    """

    def __init__(self, rng: Random, capacity: int = MAX_PACKETS) -> None:
        self._rng = rng
        self._capacity = capacity
        self._packets: list[tuple[float, int, bytes]] = []  # a heap: due, number, packet
        self._number = 0
        self._last_due = float("-inf")
        self.impairment = NONE
        self.counts: Counter[str] = Counter()

    @property
    def deadline(self) -> float | None:
        """When the next packet is due; None where none is on its way."""
        return self._packets[0][0] if self._packets else None

    def put(self, packet: bytes, now: float) -> None:
        """Take an IPv4 packet, or drop it."""
        chosen = self.impairment
        self.counts["came"] += 1
        if chosen.is_cut or packet[PROTOCOL_AT] in chosen.blocked:
            self.counts["blocked"] += 1
        elif self._rng.random() < chosen.loss:
            self.counts["lost"] += 1
        else:
            self._hold(packet, now)
            if self._rng.random() < chosen.duplicates:
                self.counts["duplicated"] += 1
                self._hold(packet, now)

    def take_due(self, now: float) -> list[bytes]:
        """Return the packets that are due, in the order in which they arrive."""
        due = list[bytes]()
        while self._packets and self._packets[0][0] <= now:
            due.append(heappop(self._packets)[2])
        return due

    def _hold(self, packet: bytes, now: float) -> None:
        if len(self._packets) >= self._capacity:
            self.counts["overflowed"] += 1
            return
        chosen = self.impairment
        due = now + chosen.delay_s + self._rng.uniform(-chosen.jitter_s, chosen.jitter_s)
        if not chosen.reorders:
            due = max(due, self._last_due)
        self.counts["reordered"] += due < self._last_due
        self._last_due = max(due, self._last_due)
        self._number += 1
        heappush(self._packets, (due, self._number, packet))
