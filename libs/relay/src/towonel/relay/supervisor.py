"""Supervisor of a worker process, in control: starts it, and replaces one that dies or hangs.

    start ──▶ on_started: control sends the state ──▶ messages ──▶ on_lost ──▶ pause ──▶ start

A worker reads what control sends, and says something every second: one that does neither for ten is
killed, for nobody else would end its connections.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from signal import strsignal
from typing import Any, Final, Protocol

from towonel.relay.channel import Channel, ChannelClosed, ChannelMessage
from towonel.runtime.backoff import Backoff
from towonel.wire.errors import ProtocolError

_MESSAGES_AT_ONCE: Final = 64  # before what else control has to do
_EXIT_S: Final = 0.5  # for a lost worker to exit by itself, and so to tell by its code why


class WorkerProcess(Protocol):
    """Process of a worker; an `asyncio.subprocess.Process` is one."""

    @property
    def pid(self) -> int:
        """The process's number."""
        ...

    def kill(self) -> None:
        """End it at once; one that has ended is left alone."""
        ...

    async def wait(self) -> int:
        """Return the exit code once it has ended."""
        ...


type Start = Callable[[socket.socket], Awaitable[WorkerProcess]]


def exec_python(*arguments: str) -> Start:
    """Return what starts a worker by exec; the descriptor of its channel is its last argument."""

    async def start(channel: socket.socket) -> WorkerProcess:
        number = channel.fileno()
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", *arguments, str(number)),  # no modules of the working directory
            pass_fds=(number,),
            stdin=asyncio.subprocess.DEVNULL,
        )

    return start


@dataclass(frozen=True, slots=True)
class SupervisorTiming:
    """Timers of a supervisor, in seconds.

    Args:
        stalled_s: for which a worker may not read what is sent, or not say anything.
        first_pause_s: before the first restart; the pause doubles with each.
        max_pause_s: between restarts, at most.
        healthy_s: after which a worker that ran has been started well.
    """

    stalled_s: float = 10.0
    first_pause_s: float = 0.1
    max_pause_s: float = 5.0
    healthy_s: float = 30.0


DEFAULT_TIMING: Final = SupervisorTiming()


class Control:
    """Control of a worker: it is told of each start and end, and of what the worker says."""

    def on_started(self, worker: "Worker") -> None:
        """Send the whole state: the worker knows nothing yet."""
        raise NotImplementedError

    def on_message(self, worker: "Worker", message: ChannelMessage) -> None:
        """Act on a message, whose descriptors are owned here."""
        raise NotImplementedError

    def on_lost(self, reason: str) -> None:
        """Act on the end of the worker and all its connections; another is started soon."""
        raise NotImplementedError


class Worker:
    """Worker process as control sees it; made by `supervise`.

    Args:
        channel: to the process.
        process: the process.
        control: is told what it says.
        timing: the timers.
    """

    def __init__(
        self, channel: Channel, process: WorkerProcess, control: Control, timing: SupervisorTiming
    ) -> None:
        self._channel = channel
        self._process = process
        self._control = control
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._reason = ""
        self._read_at = self._heard_at = self._loop.time()
        self._writing = False

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def send(self, kind: str, fields: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message, whose descriptors are closed here; one to a lost worker is dropped.

        Raises:
            ProtocolError: TOO_LARGE.
        """
        if self._lost.is_set():  # nobody watches the channel, and its number may soon be another's
            for descriptor in descriptors:
                os.close(descriptor)
            return
        try:
            self._channel.send(kind, fields, descriptors)
        except ChannelClosed as error:
            self._lose(str(error))
        else:
            self._watch_output()

    async def run(self) -> str:
        """Pass on what the worker says until it is lost, and return why it was."""
        loop, channel = self._loop, self._channel
        loop.add_reader(channel.fileno(), self._read)
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                await self._lost.wait()
                watching.cancel()
        finally:
            self._lost.set()
            loop.remove_reader(channel.fileno())
            loop.remove_writer(channel.fileno())
        return self._reason

    def _lose(self, reason: str) -> None:
        if not self._lost.is_set():
            self._reason = reason
            self._lost.set()

    def _read(self) -> None:
        self._heard_at = self._loop.time()
        try:
            for message in islice(self._channel.receive(), _MESSAGES_AT_ONCE):
                self._control.on_message(self, message)
        except (ChannelClosed, ProtocolError) as error:
            self._lose(str(error))

    def _watch_output(self) -> None:
        """Flush what is held when there is room."""
        holds = self._channel.holds
        if holds and not self._writing:
            self._read_at = self._loop.time()
            self._loop.add_writer(self._channel.fileno(), self._flush)
        elif self._writing and not holds:
            self._loop.remove_writer(self._channel.fileno())
        self._writing = holds

    def _flush(self) -> None:
        self._read_at = self._loop.time()
        try:
            self._channel.flush()
        except ChannelClosed as error:
            self._lose(str(error))
        else:
            self._watch_output()

    async def _watch(self) -> None:
        stalled_s = self._timing.stalled_s
        while True:
            await asyncio.sleep(stalled_s / 4)
            await asyncio.sleep(0)  # a loop that was late has read by now what had come
            now = self._loop.time()
            if self._channel.holds and now - self._read_at > stalled_s:
                self._lose(f"it has read nothing for {stalled_s:.0f} s")
            elif now - self._heard_at > stalled_s:
                self._lose(f"it has said nothing for {stalled_s:.0f} s")


@contextlib.asynccontextmanager
async def supervise(
    control: Control,
    start: Start,
    rng: Random,
    timing: SupervisorTiming = DEFAULT_TIMING,
) -> AsyncGenerator[None]:
    """Keep one worker running for the time of the block; it is killed at the end."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_run_forever(control, start, rng, timing))
        try:
            yield
        finally:
            running.cancel()


async def _run_forever(
    control: Control, start: Start, rng: Random, timing: SupervisorTiming
) -> None:
    backoff = Backoff(timing.first_pause_s, timing.max_pause_s, timing.healthy_s)
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        control.on_lost(await _run_one(control, start, timing))
        backoff.record_success(clock() - began)
        await asyncio.sleep(backoff.next_delay(rng))


async def _run_one(control: Control, start: Start, timing: SupervisorTiming) -> str:
    """Start a worker, wait until it is lost and its process has ended, and return why it was."""
    try:
        channel, process = await _start_process(start)
    except OSError as error:
        return f"cannot be started: {error}"
    try:
        reason = await _serve(control, Worker(channel, process, control, timing))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_S):
                await process.wait()
    finally:
        channel.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        code = await asyncio.shield(process.wait())
    return f"{reason}; {_describe_exit(code)}"


async def _start_process(start: Start) -> tuple[Channel, WorkerProcess]:
    channel, other = Channel.pair()
    with other:
        try:
            return channel, await start(other)
        except BaseException:
            channel.close()
            raise


async def _serve(control: Control, worker: Worker) -> str:
    try:
        control.on_started(worker)
    except OSError as error:  # most often no descriptor is left for what goes with the state
        return f"cannot be told the state: {error}"
    return await worker.run()


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({strsignal(-code)})"
