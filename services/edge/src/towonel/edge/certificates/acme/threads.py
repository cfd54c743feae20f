"""Calls that wait for somebody else, each in a thread of its own, which keeps no process from ending."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final

from towonel.edge.certificates.acme.authority import OrderError

MAX_CALLS: Final = (
    64  # some may go on for long after nobody waits for them: an authority may answer byte by byte
)
_places = threading.BoundedSemaphore(MAX_CALLS)


async def call_in_thread[T](call: Callable[[], T]) -> T:
    """Return what a call returns.

    Raises:
        OrderError: as the call raises it, or with whatever else it raises, or since too many calls have not returned.
    """
    _take_place()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: OrderError | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # it has returned

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except OrderError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 a bug of a library must not end the edge
            failure = OrderError(f"{type(error).__name__}: {error}")
        finally:
            _places.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="certificate-order", daemon=True).start()
    return await future


def _take_place() -> None:
    if not _places.acquire(blocking=False):
        raise OrderError(f"{MAX_CALLS} calls before have not ended")
