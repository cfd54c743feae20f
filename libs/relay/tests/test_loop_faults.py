"""Loop: a handler with a bug ends itself, and nobody else."""

import socket
from functools import partial
from typing import Never

import pytest
from support.callback_handler import CallbackHandler

from towonel.relay.loop import Loop


def fail(*_: object) -> Never:
    """Raise what is a bug."""
    raise ZeroDivisionError


def note_turn(calls: list[object]) -> bool:
    """Note a turn, which is all that there is to carry."""
    calls.append("turn")
    return False


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_a_bug_in_one_handler_costs_the_others_nothing(loop: Loop) -> None:
    one, other = socket.socketpair()
    crashes: list[Exception] = []
    calls: list[object] = []

    faulty = CallbackHandler(on_ready=fail, take_turn=fail, expire=fail, crash=crashes.append)
    sound = CallbackHandler(
        on_ready=calls.append,
        take_turn=partial(note_turn, calls),
        expire=lambda: calls.append("deadline"),
    )
    with one, other:
        loop.add(one.fileno(), faulty)
        loop.add(other.fileno(), sound)
        loop.queue(faulty)
        loop.queue(sound)
        for handler in (faulty, sound):
            loop.delays.arm(handler, 0)
        while len(crashes) < 3 or len(calls) < 3:
            loop.run_once()
    loop.close()

    assert {type(error) for error in crashes} == {ZeroDivisionError}


def test_a_bug_in_what_contains_nothing_is_raised(loop: Loop) -> None:
    loop.queue(CallbackHandler(take_turn=fail))

    with pytest.raises(ZeroDivisionError):
        loop.run_once()
    loop.close()
