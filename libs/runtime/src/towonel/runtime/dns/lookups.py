"""Threads for look-ups by the system's resolver: one for a name, none that anything else waits for.

The system's `getaddrinfo` knows what the machine knows (the hosts file, search domains, mDNS), and
blocks for as long as a name server does not answer. So each name has at most one thread, which waits
for itself alone: other names, addresses, and the end of the process do not wait for it.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Any, override

type Answer = list[tuple[Any, Any, int, str, Any]]  # as of `socket.getaddrinfo`
type LookUp = Callable[..., Answer]
type Question = tuple[object, ...]

MAX_THREADS = 64  # names that are asked for at once; further ones queue


class LookupThreads:
    """Threads that wait for name servers, one for a question, however many ask it.

    Args:
        look_up: blocks, and answers as `socket.getaddrinfo` does.
        max_threads: at once; further questions queue.
        make_thread: of the arguments of `threading.Thread`.
    """

    def __init__(
        self,
        look_up: LookUp = socket.getaddrinfo,
        max_threads: int = MAX_THREADS,
        make_thread: Callable[..., Thread] = Thread,
    ) -> None:
        self._look_up = look_up
        self._max_threads = max_threads
        self._make_thread = make_thread
        self._running = 0
        self._queue: deque[Question] = deque()
        self._answers: dict[Question, asyncio.Future[Answer]] = {}

    async def ask(self, *question: object) -> Answer:
        """Return the answer to a question; who stops waiting stops nobody else.

        Raises:
            OSError: the name does not resolve, or the system has no thread for it.
        """
        answer = self._answers.get(question)
        if answer is None:
            answer = self._answers[question] = asyncio.get_running_loop().create_future()
            self._queue.append(question)
            self._start_threads()
        return await asyncio.shield(answer)

    def _start_threads(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and self._running < self._max_threads:
            question = self._queue.popleft()
            # A daemon: the process ends without it.
            thread = self._make_thread(target=self._run, args=(loop, question), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # at a limit on threads, of the user or of the container
                self._answer(question, socket.gaierror(socket.EAI_AGAIN, f"no look-up: {error}"))
            else:
                self._running += 1

    def _run(self, loop: asyncio.AbstractEventLoop, question: Question) -> None:
        try:
            found: Answer | Exception = self._look_up(*question)
        except Exception as error:  # noqa: BLE001 whoever asks gets it
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(self._finish, question, found)

    def _finish(self, question: Question, found: Answer | Exception) -> None:
        self._running -= 1
        self._answer(question, found)
        self._start_threads()

    def _answer(self, question: Question, found: Answer | Exception) -> None:
        answer = self._answers.pop(question)
        if isinstance(found, UnicodeError):  # of the IDNA codec
            found = socket.gaierror(socket.EAI_NONAME, "it is no name that DNS can hold")
        if isinstance(found, Exception):
            answer.set_exception(found)
            answer.exception()  # read here: all who asked may have stopped waiting
        else:
            answer.set_result(found)


class EventLoop(asyncio.SelectorEventLoop):
    """Event loop whose libraries look names up in such threads, too."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups = LookupThreads()

    @override
    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Answer:
        """See `asyncio.loop.getaddrinfo`."""
        return await self._lookups.ask(host, port, family, type, proto, flags)
