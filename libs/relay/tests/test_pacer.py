"""Pacer: connections of a tenant have its bandwidth together, each in its turn."""

from collections.abc import Iterator

import pytest
from support.callback_handler import CallbackEnd, CallbackHandler
from support.relay import tcp_pair

from towonel.relay.core.rate_limit import RateLimit
from towonel.relay.loop import Loop, TurnGroup
from towonel.relay.memory import BUFFER_BYTES
from towonel.relay.pacing.pacer import MIN_BURST, Pacer, plan_bytes

MBIT = 1_000_000
SLACK = BUFFER_BYTES + MIN_BURST


class StoppedClock:
    """Clock of a loop, which tests put forward."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reader:
    """Socket from which a buffer can be read again and again, as far as its pacer admits that."""

    def __init__(self, loop: Loop, pacer: Pacer, size: int) -> None:
        sock, self.far = tcp_pair()
        self.end = CallbackEnd(sock, loop, self.on_readable, self.on_crash)
        self.loop = loop
        self.pacer: Pacer | None = pacer
        self.size, self.reads = size, 0
        self.bug: Exception | None = None
        self.crashed: Exception | None = None

    def on_readable(self) -> None:
        if self.pacer is not None and not self.pacer.admits(self.end):
            return
        if self.bug is not None:
            raise self.bug
        if self.size:
            self.reads += 1
            if self.pacer is not None:
                self.pacer.spend(self.size)
                self.loop.queue(self.end)

    def on_crash(self, error: Exception) -> None:
        self.crashed = error


class Paced:
    """Pacer with some readers, on a clock of its own."""

    def __init__(self, bits_per_s: int) -> None:
        self.clock = StoppedClock()
        self.loop = Loop(self.clock)
        self.limit = RateLimit(*plan_bytes(bits_per_s), self.clock.now)
        self.pacer = Pacer(self.loop, self.limit)
        self.readers: list[Reader] = []
        self._awake = CallbackHandler(take_turn=lambda: False)

    def add(self, size: int = BUFFER_BYTES) -> Reader:
        reader = Reader(self.loop, self.pacer, size)
        self.loop.add(reader.end.descriptor, reader.end, 0)
        self.readers.append(reader)
        self.loop.queue(reader.end)
        return reader

    def run(self, for_s: float = 0.0, step_s: float = 0.01) -> None:
        end = self.clock.now + for_s
        self._run_once()
        while self.clock.now < end:
            self.clock.now += step_s
            self._run_once()

    def _run_once(self) -> None:
        for _ in range(2):  # a deadline, and the turn that it gives
            self.loop.queue(self._awake)  # so that nothing is waited for
            self.loop.run_once()

    @property
    def read_bytes(self) -> int:
        return sum(each.reads * each.size for each in self.readers)

    def close(self) -> None:
        for reader in self.readers:
            if reader.end.sock.fileno() >= 0:
                reader.end.close()
            reader.far.close()
        self.loop.close()


@pytest.fixture
def paced() -> Iterator[Paced]:
    made = Paced(10 * MBIT)
    yield made
    made.close()


@pytest.mark.parametrize("readers", [1, 7])
@pytest.mark.parametrize("size", [BUFFER_BYTES, 1000])
def test_all_connections_together_have_the_bandwidth(paced: Paced, readers: int, size: int) -> None:
    for _ in range(readers):
        paced.add(size)
    paced.run(10.0)

    assert 12_500_000 * 0.99 <= paced.read_bytes <= 12_500_000 + 2 * SLACK


def test_connections_take_turns(paced: Paced) -> None:
    readers = [paced.add() for _ in range(5)]
    paced.run(2.0)
    late = paced.add()
    before = readers[0].reads
    paced.run(2.0)

    assert max(each.reads for each in readers) - min(each.reads for each in readers) <= 1
    assert abs(late.reads - (readers[0].reads - before)) <= 2


def test_a_tenant_below_its_bandwidth_waits_for_nothing(paced: Paced) -> None:
    reader = paced.add(size=0)
    for _ in range(100):
        paced.clock.now += 0.01
        paced.loop.wheel.now = paced.clock.now
        assert paced.pacer.admits(reader.end)
        paced.pacer.spend(12_000)

    assert not paced.pacer.queued


def test_another_bandwidth_holds_at_once(paced: Paced) -> None:
    paced.add()
    paced.run(1.0)
    before = paced.read_bytes
    paced.pacer.change(1000 * MBIT)
    paced.run(1.0)

    assert paced.read_bytes - before == pytest.approx(125_000_000, rel=0.05)
    before = paced.read_bytes
    paced.pacer.change(MBIT)
    paced.run(4.0)
    assert paced.read_bytes - before <= 500_000 + 2 * SLACK


def test_without_a_limit_all_that_waited_go_on(paced: Paced) -> None:
    readers = [paced.add() for _ in range(3)]
    paced.run(0.5)
    before = [each.reads for each in readers]
    for reader in readers:
        reader.pacer = None
    paced.pacer.stop()
    paced.run()

    assert [each.reads - count for each, count in zip(readers, before, strict=True)] == [1, 1, 1]
    paced.run(1.0)
    assert not paced.pacer.queued


def test_what_is_closed_gets_no_turn(paced: Paced) -> None:
    gone, stays = paced.add(), paced.add()
    paced.run(0.3)
    paced.pacer.forget(gone.end)
    gone.end.close()
    before = gone.reads
    paced.run(1.0)

    assert gone.reads == before
    assert stays.reads > before


def test_a_bug_of_one_ends_that_one_alone(paced: Paced) -> None:
    broken, whole = paced.add(), paced.add()
    paced.run(0.3)
    broken.bug = RuntimeError("a bug")
    before = whole.reads
    paced.run(1.0)

    assert broken.crashed is broken.bug
    assert whole.reads > before


def test_turns_of_those_that_waited_are_turns_of_their_group(paced: Paced) -> None:
    reader = paced.add()
    group = reader.end.group = TurnGroup()
    paced.run(0.3)

    assert paced.pacer.group is group


def test_others_of_several_processes_are_heard_within_a_second(paced: Paced) -> None:
    paced.add()
    paced.run(0.5)
    paced.limit.spend(50_000_000)  # as others do: forty seconds of it
    before = paced.read_bytes
    paced.run(2.0)
    paced.limit.spend(-50_000_000)
    paced.run(1.5)

    assert paced.read_bytes > before
