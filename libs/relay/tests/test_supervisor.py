"""Supervisor: a worker is told everything at each start, and replaced when it dies or hangs."""

import asyncio
import contextlib
import errno
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import override

import pytest
from support.descriptors import use_up_descriptors

from towonel.relay.channel import ChannelMessage
from towonel.relay.supervisor import (
    Control,
    Start,
    SupervisorTiming,
    Worker,
    WorkerProcess,
    exec_python,
    supervise,
)

START = exec_python(str(Path(__file__).with_name("obedient_worker.py")))
TIMING = SupervisorTiming(stalled_s=60, first_pause_s=0.01, max_pause_s=0.02)
SHORT = SupervisorTiming(stalled_s=1, first_pause_s=0.01, max_pause_s=0.02)


class Recorder(Control):
    """Control that keeps what it is told."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.messages: asyncio.Queue[ChannelMessage] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.failures: list[OSError] = []  # to tell the state of the next ones

    @override
    def on_started(self, worker: Worker) -> None:
        if self.failures:
            raise self.failures.pop()
        self.workers.append(worker)

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        if message.kind != "alive":
            self.messages.put_nowait(message)

    @override
    def on_lost(self, reason: str) -> None:
        self.losses.put_nowait(reason)

    async def started(self) -> Worker:
        message = await self.messages.get()
        assert message.kind == "ready"
        assert message.fields["pid"] == self.workers[-1].pid
        return self.workers[-1]


@contextlib.asynccontextmanager
async def supervised(
    timing: SupervisorTiming = TIMING, start: Start = START
) -> AsyncIterator[Recorder]:
    control = Recorder()
    async with asyncio.timeout(20), supervise(control, start, random.Random(1), timing):
        yield control


async def test_a_worker_does_what_it_is_sent_and_answers() -> None:
    async with supervised() as control:
        worker = await control.started()
        worker.send("say", {"number": 7})
        message = await control.messages.get()

        assert (message.kind, message.fields) == ("said", {"number": 7})


async def test_more_than_the_channel_holds_is_sent_as_the_worker_reads() -> None:
    async with supervised() as control:
        worker = await control.started()
        for number in range(200):
            worker.send("say", {"number": number, "bytes": bytes(60_000)})

        numbers = [(await control.messages.get()).fields["number"] for _ in range(200)]
        assert numbers == list(range(200))


async def test_a_worker_is_told_of_any_number_of_things_at_its_start() -> None:
    class Talkative(Recorder):
        @override
        def on_started(self, worker: Worker) -> None:
            for number in range(5_000):
                worker.send("say", {"number": number})

    control = Talkative()
    async with asyncio.timeout(20), supervise(control, START, random.Random(1), TIMING):
        assert (await control.messages.get()).kind == "ready"
        numbers = [(await control.messages.get()).fields["number"] for _ in range(5_000)]
    assert numbers == list(range(5_000))
    assert control.losses.empty()


async def test_a_descriptor_reaches_the_worker_and_is_closed_here() -> None:
    async with supervised() as control:
        worker = await control.started()
        reader, writer = os.pipe()
        worker.send("write", {}, [writer])

        with os.fdopen(reader, "rb") as file:
            assert await asyncio.to_thread(file.read, 21) == b"written by the worker"
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(writer)


async def test_a_worker_that_exits_is_replaced_by_one_that_is_told_everything() -> None:
    async with supervised() as control:
        first = await control.started()
        first.send("exit", {"code": 3})

        assert (await control.losses.get()).endswith("exit code 3")
        second = await control.started()
        assert second.pid != first.pid


async def test_a_worker_that_is_killed_is_replaced() -> None:
    async with supervised() as control:
        os.kill((await control.started()).pid, signal.SIGKILL)

        assert (await control.losses.get()).endswith("signal 9 (Killed)")
        await control.started()


@pytest.mark.parametrize(
    ("order", "reason"),
    [("be silent", "it has said nothing for 1 s"), ("rave", "malformed")],
)
async def test_a_worker_that_hangs_or_raves_is_replaced(order: str, reason: str) -> None:
    async with supervised(SHORT) as control:
        worker = await control.started()
        worker.send(order, {})

        assert reason in await control.losses.get()
        assert await control.started() is not worker


async def test_a_worker_that_does_not_read_is_replaced() -> None:
    async with supervised(SHORT) as control:
        worker = await control.started()
        worker.send("read no more", {})
        for _ in range(100):
            worker.send("say", {"bytes": bytes(60_000)})

        assert "it has read nothing for 1 s" in await control.losses.get()
        assert await control.started() is not worker


async def test_a_message_to_a_lost_worker_is_dropped_with_its_descriptors() -> None:
    async with supervised() as control:
        worker = await control.started()
        os.kill(worker.pid, signal.SIGKILL)
        await control.losses.get()
        reader, writer = os.pipe()
        worker.send("write", {}, [writer])

        with os.fdopen(reader, "rb") as file:
            assert file.read() == b""


async def test_messages_to_a_worker_that_is_lost_and_has_not_exited_do_not_harm_the_next() -> None:
    async with supervised(start=lambda channel: start_chatty(channel, control)) as control:
        worker = await control.started()
        os.kill(worker.pid, signal.SIGKILL)

        assert (await control.losses.get()).endswith("signal 9 (Killed)")
        again = await control.started()
        again.send("say", {"number": 7})
        assert (await control.messages.get()).fields == {"number": 7}


@dataclass
class ChattyProcess:
    """Process whose control goes on sending until it has exited."""

    process: WorkerProcess
    control: Recorder

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait(self) -> int:
        for number in range(3):
            self.control.workers[-1].send("say", {"number": number})
        return await self.process.wait()

    def kill(self) -> None:
        self.process.kill()


async def start_chatty(channel: socket.socket, control: Recorder) -> WorkerProcess:
    return ChattyProcess(await START(channel), control)


async def test_a_worker_that_cannot_be_started_is_tried_again() -> None:
    fails = [OSError("no memory"), OSError("no memory")]

    async def start(channel: socket.socket) -> WorkerProcess:
        if fails:
            raise fails.pop()
        return await START(channel)

    async with supervised(start=start) as control:
        await control.started()

        assert control.losses.get_nowait() == "cannot be started: no memory"
        assert control.losses.qsize() == 1


class Lacking(Recorder):
    """Control that has no descriptor for the first worker: when it starts, or when it is ready."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when = when

    @override
    def on_started(self, worker: Worker) -> None:
        super().on_started(worker)
        self._fail("started")

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        self._fail(message.kind)
        super().on_message(worker, message)

    def _fail(self, now: str) -> None:
        if now == self._when and len(self.workers) == 1:
            raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("when", ["started", "ready"])
async def test_a_worker_that_cannot_be_given_what_it_needs_is_replaced(when: str) -> None:
    control = Lacking(when)
    async with asyncio.timeout(20), supervise(control, START, random.Random(1), TIMING):
        await control.started()

    assert "Too many open files" in control.losses.get_nowait()
    assert len(control.workers) == 2


async def test_without_descriptors_a_worker_is_tried_again() -> None:
    async with supervised() as control:
        with use_up_descriptors():
            reason = await control.losses.get()
        await control.started()

        assert reason.startswith("cannot be started: ")


async def test_the_worker_is_gone_with_its_supervisor() -> None:
    async with supervised() as control:
        pid = (await control.started()).pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
