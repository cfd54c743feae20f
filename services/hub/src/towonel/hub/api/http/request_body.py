"""Limits of a request's body: its size, its time, and the memory and places of all bodies together."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from towonel.hub.core.body_budget import BodyBudget, HeldBody

MAX_BODY_BYTES = 64 * 1024
MAX_BYTES = {
    "/v1/desired-state": 1024 * 1024,  # 1 000 services
    "/v1/edges/report": 8 * 1024 * 1024,  # 10 000 sessions
}
_RETRY_AFTER = {"retry-after": "2"}


class RequestBody:
    """Body of one request within its limits; `receive` is ASGI's.

    Args:
        receive: the server's.
        max_bytes: of this body.
        timeout_s: from now to its last byte.
        source: who sends it.
        budget: of all bodies.
    """

    def __init__(
        self, receive: Receive, max_bytes: int, timeout_s: float, source: str, budget: BodyBudget
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._budget = budget
        self._deadline: float | None = asyncio.get_running_loop().time() + timeout_s
        self._reading: asyncio.Timeout | None = None
        self._received_bytes = 0
        self.held = HeldBody(source, self._give_up)
        self._is_trusted = False

    def trust(self) -> None:
        """Count no more of it: its sender is known by now, and has limits of its own."""
        self._is_trusted = True
        self._budget.settle(self.held)

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            HTTPException: 408 for a body that does not come in time, 413 for one that is too large,
                503 for one that had to make room for others.
        """
        self._check_evicted()
        self._budget.wait(self.held)
        message = await self._receive_in_time()
        if not message.get("more_body", False):
            self._deadline = None
            self._budget.settle(self.held)
        size = len(message.get("body", b""))
        self._received_bytes += size
        if self._received_bytes > self._max_bytes:
            raise HTTPException(413, f"a body of more than {self._max_bytes} bytes")
        if size and not self._is_trusted:
            self._check_evicted()
            self._budget.add(self.held, size)
            self._check_evicted()
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline) as self._reading:
                return await self._receive()
        except TimeoutError as error:
            self._check_evicted()
            raise HTTPException(408, "the body did not come in time") from error
        finally:
            self._reading = None

    def _give_up(self) -> None:
        """Stop waiting for more."""
        if self._reading is not None:
            self._reading.reschedule(0)

    def _check_evicted(self) -> None:
        if self.held.is_evicted:
            message = "too many bodies are on their way, and this address sends the most; ask again"
            raise HTTPException(503, message, _RETRY_AFTER)
