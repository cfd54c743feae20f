"""Loop: a handler with a bug ends itself, and nobody else."""

import socket
from typing import override

import pytest

from towonel.relay.loop import Handler, Loop


class Faulty(Handler):
    """Handler that raises whatever it is asked to do, and notes what it was ended with."""

    def __init__(self) -> None:
        self.crashes: list[Exception] = []

    @override
    def on_ready(self, events: int) -> None:
        raise ZeroDivisionError

    @override
    def take_turn(self) -> bool:
        raise ZeroDivisionError

    @override
    def expire(self) -> None:
        raise ZeroDivisionError

    @override
    def crash(self, error: Exception) -> None:
        self.crashes.append(error)


class Sound(Handler):
    """Handler that counts what it was asked to do."""

    calls = 0

    @override
    def on_ready(self, events: int) -> None:
        self.calls += 1

    @override
    def take_turn(self) -> bool:
        self.calls += 1
        return False

    @override
    def expire(self) -> None:
        self.calls += 1


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_a_bug_in_one_handler_costs_the_others_nothing(loop: Loop) -> None:
    one, other = socket.socketpair()
    faulty, sound = Faulty(), Sound()
    with one, other:
        loop.add(one.fileno(), faulty)
        loop.add(other.fileno(), sound)
        loop.queue(faulty)
        loop.queue(sound)
        for handler in (faulty, sound):
            loop.delays.arm(handler, 0)
        while len(faulty.crashes) < 3 or sound.calls < 3:
            loop.run_once()
    loop.close()

    assert {type(error) for error in faulty.crashes} == {ZeroDivisionError}


def test_a_bug_in_what_contains_nothing_is_raised(loop: Loop) -> None:
    class Careless(Faulty):
        crash = Handler.crash

    loop.queue(Careless())

    with pytest.raises(ZeroDivisionError):
        loop.run_once()
    loop.close()
