"""Driver of a state machine on the event loop."""

import asyncio
from typing import ClassVar

from support.tunnel import until

from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Command,
    ConnectionClosed,
    GoAwayRequested,
    HandshakeCompleted,
    ReportOpened,
    ReportRefused,
    TimedOut,
)
from towonel.tunnel.core.machine import Machine, State, Table, Transition
from towonel.tunnel.driver import Driver
from towonel.wire.errors import Code

CLOSED = CloseReason(Code.NORMAL)


class Alarm(Machine):
    """Machine that reports each time its deadline passes; HandshakeCompleted moves it."""

    def _ring(self, _event: TimedOut, now: float) -> list[Command]:
        assert self.deadline is not None
        assert now >= self.deadline
        self.deadline += 3600
        return [ReportOpened()]

    def _move(self, _event: HandshakeCompleted, now: float) -> list[Command]:
        self.deadline = now + 0.05
        return []

    def _postpone(self, _event: GoAwayRequested, now: float) -> list[Command]:
        self.deadline = now + 3600
        return []

    WITH_STREAMS = frozenset(State)
    TABLE: ClassVar[Table] = {
        (State.CONNECTING, TimedOut): Transition(_ring, State.CONNECTING),
        (State.CONNECTING, HandshakeCompleted): Transition(_move, State.CONNECTING),
        (State.CONNECTING, GoAwayRequested): Transition(_postpone, State.CONNECTING),
    }


def start(after_s: float) -> tuple[Driver, list[Command]]:
    commands: list[Command] = []
    return Driver(Alarm(asyncio.get_running_loop().time() + after_s), commands.append), commands


def timers() -> set[asyncio.TimerHandle]:
    loop = asyncio.get_running_loop()
    return {timer for timer in loop._scheduled if not timer.cancelled()}  # type: ignore[attr-defined]


async def test_the_machine_is_ticked_at_its_deadline() -> None:
    _, commands = start(0.05)

    await until(lambda: commands)
    assert commands == [ReportOpened()]


async def test_an_earlier_deadline_moves_the_timer() -> None:
    driver, commands = start(3600)
    driver.handle(HandshakeCompleted())

    await until(lambda: commands)
    assert commands == [ReportOpened()]


async def test_after_a_later_deadline_the_old_timer_looks_again_and_does_nothing() -> None:
    driver, commands = start(0.05)
    driver.handle(GoAwayRequested())
    [early] = timers()
    await until(lambda: early not in timers() or early.when() < asyncio.get_running_loop().time())
    await until(lambda: [timer for timer in timers() if timer.when() > early.when() + 3000])

    assert commands == []


async def test_a_closed_machine_has_no_timer() -> None:
    driver, commands = start(3600)
    before = timers()
    driver.handle(ConnectionClosed(CLOSED))

    assert commands == [ReportRefused(CLOSED)]
    assert len(before) == 1
    assert timers() == set()


async def test_a_command_may_cause_the_next_event() -> None:
    commands: list[Command] = []

    def execute(command: Command) -> None:
        commands.append(command)
        driver.handle(ConnectionClosed(CLOSED))

    driver = Driver(Alarm(asyncio.get_running_loop().time() + 0.01), execute)

    await until(lambda: len(commands) > 1)
    assert commands == [ReportOpened(), ReportRefused(CLOSED)]
