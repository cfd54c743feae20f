"""Shares of a session's lanes among an agent's workers: together as many as its edge wants.

Shares are equal, but a worker whose lanes serve more clients than that keeps these: the edge closes idle
lanes alone, so what others dialed beyond the sum would be closed, and dialed, again and again.

A worker fails when three admissions in a row did, of each kind of lanes, or when it ends before a lane of it
works: the successor of one that ends later has its share at once. While others' lanes work, they get the
share of one that fails, and it has one lane to find out when the way is free. Once all have failed that are
to dial, the edge takes no lanes: that is said once, and holds until a lane works, whichever worker's.
"""

from collections.abc import Collection, Sequence
from itertools import islice

from towonel.wire.errors import Code


class LaneShares:
    """Shares of one session's lanes.

    Args:
        workers: how many there are.
        first: the worker that gets the odd lane; sessions have different ones.
        wanted: lanes in all.

    Attributes:
        shares: lanes that each worker keeps.
        failure: why the edge takes no lanes; None while it may.
    """

    def __init__(self, workers: int, first: int, wanted: int) -> None:
        self._wanted = wanted
        self._first = first
        self._in_use = [0] * workers
        self._failures: dict[int, Code] = {}
        self._ended: set[int] = set()  # before a lane of theirs worked
        self._working: set[int] = set()
        self.shares: Sequence[int] = divide_lanes(wanted, self._in_use, first)
        self.failure: Code | None = None

    def want(self, count: int) -> list[int]:
        """Take what the edge wants, and return the workers that have another share now; so do all here."""
        self._wanted = count
        return self._update()

    def note_in_use(self, worker: int, count: int) -> list[int]:
        """Note how many of a worker's lanes have a client."""
        self._in_use[worker] = count
        return self._update()

    def note_failure(self, worker: int, code: Code) -> list[int]:
        """Note a worker whose admissions fail."""
        self._working.discard(worker)
        self._failures[worker] = code
        return self._update()

    def note_working(self, worker: int) -> list[int]:
        """Note a worker with a lane that works, at all or after failures."""
        self._failures.pop(worker, None)
        self._ended.discard(worker)
        self._working.add(worker)
        return self._update()

    def forget(self, worker: int) -> list[int]:
        """Note a worker that is gone, with its lanes and failures; another is started."""
        if worker not in self._working:
            self._ended.add(worker)
        self._failures.pop(worker, None)
        self._working.discard(worker)
        return self.note_in_use(worker, 0)

    def _update(self) -> list[int]:
        before, self.shares = self.shares, self._divide()
        if self._working:
            self.failure = None
        elif self.failure is None:
            self.failure = self._find_failure()
        return [worker for worker, share in enumerate(self.shares) if share != before[worker]]

    def _find_failure(self) -> Code | None:
        """Return the code of the last failure, if all have failed that are to dial."""
        dialing = {worker for worker, share in enumerate(self.shares) if share}
        if not dialing or dialing - self._failures.keys() - self._ended:
            return None
        return next(reversed(self._failures.values()), None)

    def _divide(self) -> Sequence[int]:
        failed = self._failures.keys() | self._ended if self._working else ()
        fixed = {worker: self._in_use[worker] or self._count_trials() for worker in failed}
        able = [worker for worker in range(len(self._in_use)) if worker not in fixed]
        left = self._wanted - sum(fixed.values())
        if left < sum(self._in_use[worker] for worker in able):
            return divide_lanes(self._wanted, self._in_use, self._first)
        parts = divide_lanes(left, [self._in_use[worker] for worker in able], self._first)
        shares = fixed | dict(zip(able, parts, strict=True))
        return [shares[worker] for worker in range(len(self._in_use))]

    def _count_trials(self) -> int:
        """Return how many lanes a worker has that failed: one, if that leaves one for each of the others."""
        return 1 if self._wanted >= len(self._in_use) else 0


def divide_lanes(wanted: int, in_use: Sequence[int], first: int = 0) -> list[int]:
    """Return each worker's share of the lanes: as equal as what their clients have allows.

    Where more are in use than are wanted, no worker's share is above those that it has.

    Args:
        wanted: the sum of the shares.
        in_use: lanes of each worker that have a client.
        first: the worker that gets the odd lane.
    """
    too_many = sum(in_use) > wanted
    shares, left = [0] * len(in_use), wanted
    waiting = sorted(range(len(in_use)), key=in_use.__getitem__, reverse=not too_many)
    while waiting:
        has = in_use[waiting[0]]
        beyond_equal = has * len(waiting) - left
        if beyond_equal == 0 or (beyond_equal < 0) is not too_many:
            break
        shares[waiting[0]] = has
        left -= has
        del waiting[0]
    _share_equally(shares, left, waiting, first)
    return shares


def _share_equally(shares: list[int], count: int, workers: Collection[int], first: int) -> None:
    least, odd = divmod(count, len(workers) or 1)
    for worker in workers:
        shares[worker] = least
    following = sorted(workers, key=lambda worker: (worker - first) % len(shares))
    for worker in islice(following, odd):
        shares[worker] += 1
