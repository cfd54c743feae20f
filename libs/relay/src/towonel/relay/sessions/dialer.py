"""Dialer of a session's lanes: as many as are wanted, and after failures few and late."""

import random
from collections.abc import Callable
from math import ceil
from typing import Final, override

from towonel.relay.admission.dial import DialOwner, LaneDial, LaneTarget
from towonel.relay.core.deadlines import Timed
from towonel.relay.core.lane_kinds import KindChoice, LaneKind
from towonel.relay.core.lane_pool import LEAST_IDLE, MAX_IDLE
from towonel.relay.loop import Loop
from towonel.relay.tls.lane_tls import AgentTls
from towonel.wire.errors import Code

MAX_DIALING: Final = 64  # at a time, of one session
_FULL: Final = frozenset({Code.OVERLOADED, Code.LIMIT_EXCEEDED})
_FULL_S: Final = 0.25  # before an edge that was full is dialed again
MAX_REPLACED: Final = 64  # lanes of one session that worked and were lost, until there is a pause
REPLACED_WITHIN_S: Final = 60.0
REPLACE_PAUSE_S: Final = 1.0


class LaneDialer(DialOwner):
    """Dialer of one session's lanes.

    Args:
        target: whose lanes they are.
        loop: of the worker.
        admission_s: how long a lane may take to be connected and admitted.
        tls: returns what protects lanes inside TLS.
        workers: that dial lanes of the session; the limits are for all of them together.

    Attributes:
        target: whose lanes they are.
        dials: lanes that are not admitted yet.
        wanted: lanes that the edge wants in all.
        choice: of the kind of lanes; an edge that has no room fails none.
        held_back: whether more would be dialed if fewer were idle.
    """

    def __init__(
        self,
        target: LaneTarget,
        loop: Loop,
        admission_s: float,
        tls: Callable[[], AgentTls],
        workers: int,
    ) -> None:
        self.target = target
        self.loop = loop
        self.dials: set[LaneDial] = set()
        self.wanted = LEAST_IDLE
        self.choice = KindChoice(target.kinds)
        self.held_back = False
        self._tls = tls
        self._refusals = 0  # of an edge that is full, in a row
        self._replaced = 0  # since the last pause, or since this time
        self._replaced_since = 0.0
        self._max_replaced = ceil(MAX_REPLACED / workers)
        self._admission_s = admission_s
        self._max_idle = ceil(MAX_IDLE / workers)
        self._max_dialing = ceil(MAX_DIALING / workers)
        self._has_worked = False
        self._stopped = False
        self._redial = _Redial(self)
        self._trial = _Trial(self)

    def count_lanes(self) -> tuple[int, int]:
        """Return how many lanes are admitted, and how many of them are idle."""
        raise NotImplementedError

    def on_failure(self, code: Code, *, is_last: bool) -> None:
        """Act on an admission that failed; the last one that does before no kind of lanes works."""
        raise NotImplementedError

    def on_refusal(self, code: Code) -> None:
        """Act on an admission that the edge had no room for."""
        raise NotImplementedError

    def on_working(self) -> None:
        """Act on the first lane that works, at all or after failures."""
        raise NotImplementedError

    def set_wanted(self, count: int) -> None:
        """Keep so many lanes, of which so many are idle or being opened as there may be."""
        self.wanted = max(0, count)
        self.dial_missing()

    def dial_missing(self) -> None:
        """Dial as many lanes as are missing; after a failure one, when it is time."""
        if self._stopped or self._redial.due:
            return
        dialing = len(self.dials)
        missing, room = self._count_missing()
        self.held_back = missing > room
        most = 1 if self.choice.failures else max(1, self._max_dialing >> self._refusals)
        for _ in range(min(missing, room, most - dialing)):
            if not self._dial(self.choice.kind):
                return

    def replace_lost(self) -> None:
        """Dial another lane for one that worked and is lost; after many such ones, after a pause.

        An edge may close each as soon as it works, and each costs a port of the network's address.
        """
        if min(self._count_missing()) > 0:
            wheel = self.loop.wheel
            if wheel.now >= self._replaced_since + REPLACED_WITHIN_S:
                self._replaced, self._replaced_since = 0, wheel.now
            self._replaced += 1
            if self._replaced > self._max_replaced and not self._redial.due:
                self._replaced = 0
                wheel.arm(self._redial, REPLACE_PAUSE_S)
        self.dial_missing()

    def _count_missing(self) -> tuple[int, int]:
        """Return how many more lanes are wanted, and how many more may be idle or being opened."""
        dialing = len(self.dials)
        lanes, idle = self.count_lanes()
        return self.wanted - lanes - dialing, self._max_idle - idle - dialing

    def try_preferred(self) -> None:
        """Dial one lane of the kind that is preferred, while another one works."""
        preferred = self.choice.preferred
        if preferred is not None and not self._stopped:
            self._arm_trial()
            self._dial(preferred)

    def stop_dialing(self) -> None:
        """Dial no more, and give up what is not admitted yet."""
        self._stopped = True
        self.loop.wheel.disarm(self._redial)
        self.loop.wheel.disarm(self._trial)
        for dial in list(self.dials):
            dial.fail(Code.GOING_AWAY)

    def note_failure(self, code: Code, kind: LaneKind) -> None:
        """Note that a lane was not admitted; the next one is dialed later."""
        is_last = self.choice.note_failure(kind)
        if self.choice.failures:
            self.loop.wheel.arm(self._redial, self.choice.redial_after_s(draw()))
        self.on_failure(code, is_last=is_last)

    def note_refusal(self, code: Code) -> None:
        """Note that the edge has no room: fewer are dialed at a time, and nothing is wrong with lanes."""
        if not self._redial.due:  # those that were dialed together are refused together
            self._refusals += 1
            self.loop.wheel.arm(self._redial, _FULL_S)
        self.on_refusal(code)

    def note_working(self, kind: LaneKind) -> None:
        """Note that a lane was admitted by both ends: failures before were chance, or are over."""
        self._refusals = max(0, self._refusals - 1)
        had_failures = self.choice.failures
        self.choice.note_working(kind)
        if had_failures:
            self.loop.wheel.disarm(self._redial)
        if had_failures or not self._has_worked:
            self._has_worked = True
            self.on_working()
        if self.choice.preferred is not None and not self._trial.due:
            self._arm_trial()
        self.dial_missing()

    def _arm_trial(self) -> None:
        self.loop.wheel.arm(self._trial, self.choice.retry_after_s(draw()))

    @override
    def on_failed(self, dial: LaneDial, code: Code) -> None:
        self.dials.discard(dial)
        if self._stopped:
            return
        if code in _FULL:
            self.note_refusal(code)
        else:
            self.note_failure(code, dial.kind)

    def _dial(self, kind: LaneKind) -> bool:
        tls = self._tls() if kind is LaneKind.TLS else None
        try:
            dial = LaneDial(self.target, self.loop, self, tls)
        except OSError:  # no descriptor left
            self.note_failure(Code.LIMIT_EXCEEDED, kind)
            return False
        self.dials.add(dial)
        dial.start(self._admission_s)
        return dial in self.dials


class _Redial(Timed):
    """Timer of the next dial after a failure."""

    def __init__(self, dialer: LaneDialer) -> None:
        self._dialer = dialer

    @override
    def expire(self) -> None:
        self._dialer.dial_missing()


class _Trial(Timed):
    """Timer of the next dial of the kind that is preferred, while another one works."""

    def __init__(self, dialer: LaneDialer) -> None:
        self._dialer = dialer

    @override
    def expire(self) -> None:
        self._dialer.try_preferred()


def draw() -> float:
    """Return a number from 0 to 1 by which timers are spread."""
    return random.random()  # noqa: S311 it is no secret
