"""Program for `test_lifecycle.py`; its argument names its behaviour."""

import asyncio
import os
import signal
import sys
import threading
import warnings
from functools import partial
from threading import Event
from typing import ClassVar

from pydantic import Field

from towonel.runtime import lifecycle, logs
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import Settings, SettingsError


class ProgramSettings(Settings):
    prefixes: ClassVar[tuple[str, ...]] = ("PROGRAM_",)
    drain_s: float = Field(default=10, validation_alias="PROGRAM_DRAIN_S", description="Seconds.")


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def fail() -> None:
    raise ZeroDivisionError


async def serve(way: str, stopping: asyncio.Event) -> None:
    match way:
        case "crashes":
            await fail()
        case "crashes-in-task":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
        case "gives-up":
            async with asyncio.TaskGroup():
                raise lifecycle.GiveUp("the other side says no")
        case "finds-bad-setting":
            raise SettingsError(["PROGRAM_PORT: is taken"])
        case "finds-bad-secret":
            raise SecretFileError("PROGRAM_PORT: is taken")
        case "misbehaves":
            misbehave()
            raise Uncaught from ZeroDivisionError()
        case _:
            await drain(way, stopping)


async def drain(way: str, stopping: asyncio.Event) -> None:
    match way:
        case "drains-too-long":
            await wait("drains", stopping)
            raise lifecycle.DrainTimedOut
        case "leaves-a-thread":
            thread = asyncio.get_running_loop().run_in_executor(None, Event().wait)
            await wait("drains", stopping)
            assert not thread.done()
        case _:
            await wait(way, stopping)


class Uncaught(BaseException):
    """An exception that the lifecycle lets through."""


class Broken:
    """An object whose destructor fails."""

    def __del__(self) -> None:
        raise ZeroDivisionError


def misbehave() -> None:
    """Warn, and fail where nothing catches it: in a destructor, a thread, a callback of the loop."""
    warnings.warn("old", stacklevel=2)
    Broken()
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    context = {"message": "in a callback", "exception": ZeroDivisionError()}
    asyncio.get_running_loop().call_exception_handler(context)


async def wait(way: str, stopping: asyncio.Event) -> None:
    say("started")
    await stopping.wait()
    say("draining")
    try:
        await (asyncio.sleep(0) if way.startswith("drains") else asyncio.Event().wait())
    finally:
        say("released")


def prepared(way: str, settings: ProgramSettings) -> tuple[lifecycle.Serve, float]:
    logs.configure("info", "json", "program")
    if way == "drains-early":
        os.kill(os.getpid(), signal.SIGTERM)
    return partial(serve, way), settings.drain_s


if __name__ == "__main__":
    sys.exit(lifecycle.main(ProgramSettings, partial(prepared, sys.argv[1]), cleanup_s=0.1))
