"""Event loop: turns are fair, and what is told of one descriptor is not about the next of its number."""

import os
import select
import socket
from collections.abc import Iterator
from functools import partial
from typing import override

import pytest
from support.callback_handler import CallbackFlusher, CallbackHandler

from towonel.relay.loop import Loop, TurnGroup


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def bulk_of(name: str, turns: int, log: list[str], group: TurnGroup | None) -> CallbackHandler:
    """Return a handler that has so much to carry, and notes each turn."""
    left = [True] * (turns - 1) + [False]

    def take_turn() -> bool:
        log.append(name)
        return left.pop(0)

    handler = CallbackHandler(take_turn=take_turn)
    handler.group = group
    return handler


def run_all(loop: Loop) -> None:
    while loop._turns:
        loop.run_once()


def test_each_group_gets_as_many_turns_as_another_however_many_they_are(loop: Loop) -> None:
    log: list[str] = []
    many, one = TurnGroup(), TurnGroup()
    for number in range(3):
        loop.queue(bulk_of(f"m{number}", 2, log, many))
    loop.queue(bulk_of("one", 3, log, one))
    loop.queue(bulk_of("alone", 2, log, None))
    run_all(loop)

    assert log[:8] == ["m0", "one", "alone", "m1", "one", "alone", "m2", "one"]
    assert log[8:] == ["m0", "m1", "m2"]


def test_a_quiet_group_waits_for_one_turn_of_a_greedy_one_with_500_handlers(loop: Loop) -> None:
    log: list[str] = []
    greedy, quiet = TurnGroup(), TurnGroup()
    for number in range(500):
        loop.queue(bulk_of(f"g{number}", 10, log, greedy))
    for number in range(20):  # of which one comes after another, as answers to requests do
        loop.queue(bulk_of("q", 3, log, quiet))
        before = len(log)
        while quiet.waiting:
            loop.run_once()
        turns = [name == "q" for name in log[before:]]
        last = len(turns) - turns[::-1].index(True)

        assert turns.count(True) == 3, number
        assert last <= 6, number  # every second turn is its own
    run_all(loop)

    assert max(log.count(f"g{number}") for number in range(500)) == 10
    assert len({name for name in log[:1000] if name != "q"}) == 500  # and each has its turn


class StepClock:
    """Clock that goes on by so much with each look that a round has some ten turns."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 0.0001
        return self.now


class Ready:
    """Sockets of a group that are ready again and again; their handlers note that they act."""

    def __init__(self, loop: Loop, name: str, count: int, log: list[str]) -> None:
        self.loop, self.name, self.log = loop, name, log
        self.pairs = [socket.socketpair() for _ in range(count)]
        group = TurnGroup()
        for near, far in self.pairs:
            near.setblocking(False)
            handler = CallbackHandler(on_ready=partial(self.act, near, far))
            handler.group = group
            loop.add(near.fileno(), handler)
            far.send(b"x")

    def act(self, near: socket.socket, far: socket.socket, events: int) -> None:
        self.log.append(self.name)
        near.recv(9)
        far.send(b"x")

    def close(self) -> None:
        for near, far in self.pairs:
            self.loop.forget(near.fileno())
            near.close()
            far.close()
        self.pairs.clear()


class Fleeting(Ready):
    """The same, of which the first that acts closes all."""

    @override
    def act(self, near: socket.socket, far: socket.socket, events: int) -> None:
        self.log.append(self.name)
        self.close()


def test_of_many_that_are_ready_those_of_a_quiet_group_wait_for_a_few_of_a_greedy_one() -> None:
    log: list[str] = []
    loop = Loop(StepClock())
    greedy, quiet = Ready(loop, "greedy", 500, log), Ready(loop, "quiet", 1, log)
    while log.count("greedy") < 5000:
        loop.run_once()
    greedy.close()
    quiet.close()
    loop.close()
    waits = "".join(each[0] for each in log).split("q")

    assert max(map(len, waits[1:])) <= 12  # a round at most
    assert log.count("quiet") > 400


def test_what_is_closed_while_it_waits_for_a_turn_gets_none(loop: Loop) -> None:
    log: list[str] = []
    Fleeting(loop, "x", 100, log)
    for _ in range(2):
        loop.queue(CallbackHandler(take_turn=lambda: False))  # so that nothing is waited for
        loop.run_once()

    assert log == ["x"]


def test_a_handler_waits_for_one_turn_however_often_it_asks(loop: Loop) -> None:
    log: list[str] = []
    bulk = bulk_of("x", 1, log, None)
    for _ in range(3):
        loop.queue(bulk)
    run_all(loop)

    assert log == ["x"]


class Socket:
    """Socket in the loop that notes events, and may do something first."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.sock = sock
        self.loop = loop
        self.events: list[int] = []
        self.peer: Socket | None = None
        self.fresh: Socket | None = None
        loop.add(sock.fileno(), CallbackHandler(on_ready=self.on_ready))

    def on_ready(self, events: int) -> None:
        self.events.append(events)
        if self.peer is not None and self.fresh is None:
            self.fresh = self.peer.replace_descriptor()

    def replace_descriptor(self) -> "Socket":
        """Close this socket, and let another one get its number in the same round."""
        number = self.sock.fileno()
        self.loop.forget(number)
        self.sock.close()
        fresh, other = socket.socketpair()
        assert number in {fresh.fileno(), other.fileno()}
        if fresh.fileno() != number:
            fresh, other = other, fresh
        self.other = other
        return Socket(self.loop, fresh)


def test_what_is_told_of_a_closed_descriptor_is_not_about_the_next_of_its_number(
    loop: Loop,
) -> None:
    (one, far), (two, away) = socket.socketpair(), socket.socketpair()
    handlers = Socket(loop, one), Socket(loop, two)
    loop.run_once()
    handlers[0].peer, handlers[1].peer = handlers[1], handlers[0]
    far.close()
    away.close()
    loop.run_once()  # both hung up; whichever comes first closes the other, whose number is taken

    acting = next(handler for handler in handlers if handler.fresh is not None)
    assert acting.fresh is not None
    assert acting.fresh.events == []
    loop.run_once()
    assert [event & select.EPOLLHUP for event in acting.fresh.events] == [0]
    for sock in (acting.sock, acting.fresh.sock, acting.peer.other if acting.peer else acting.sock):
        sock.close()


def test_a_released_descriptor_stays_open_and_is_watched_no_more(loop: Loop) -> None:
    one, other = socket.socketpair()
    handler = Socket(loop, one)
    loop.run_once()
    loop.release(one.fileno())
    other.sendall(b"x")
    loop.queue(bulk_of("", 1, [], None))
    loop.run_once()

    assert len(handler.events) == 1
    assert os.read(one.fileno(), 1) == b"x"
    one.close()
    other.close()


def test_what_is_to_leave_is_flushed_once_at_the_end_of_its_round_and_a_bug_stops_no_other(
    loop: Loop,
) -> None:
    log: list[str] = []
    crashes: list[Exception] = []
    late = CallbackFlusher(lambda: log.append("late"), crashes.append)

    def flush() -> None:
        log.append("first")
        loop.flush_later(late)

    loop.flush_later(CallbackFlusher(lambda: 1 // 0, crashes.append))
    loop.flush_later(CallbackFlusher(flush, crashes.append))
    for _ in range(2):
        loop.queue(bulk_of("bulk", 1, log, None))
        loop.run_once()

    assert log == ["bulk", "first", "late", "bulk"]
    assert [type(error) for error in crashes] == [ZeroDivisionError]
