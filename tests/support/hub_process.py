"""Hub process: a hub with its settings, keys and listeners, as a task or in a process of its own."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from support import fork_server, plain_http
from support.polling import pauses
from support.ports import free_port
from support.programs import execute

from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.settings import HubSettings
from towonel.hub.timing import Timing
from towonel.runtime.settings import load


def settings(folder: Path, **more: str) -> HubSettings:
    return load(
        HubSettings,
        {
            "TOWONEL_DATA_DIR": str(folder),
            "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
            **more,
        },
    )


@contextlib.asynccontextmanager
async def running(chosen: HubSettings, timing: Timing | None = None) -> AsyncGenerator[HubClient]:
    """A hub, until the context ends; its drain is part of it."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        hub = tasks.create_task(serve(chosen, stopping, timing))
        await ready(chosen, hub)
        key = (chosen.data_dir / "operator.key").read_text()
        async with HubClient(
            f"http://127.0.0.1:{chosen.listen_addr[1]}", operator_key=key
        ) as client:
            yield client
        stopping.set()


@contextlib.asynccontextmanager
async def own_process(
    folder: Path, log: Path, *, forked: bool = True, **more: str
) -> AsyncGenerator[HubSettings]:
    """A hub in a process of its own, ready, until the context ends; its log is kept in a file."""
    chosen = settings(folder, **more)
    environ = {
        "TOWONEL_DATA_DIR": str(chosen.data_dir),
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{chosen.listen_addr[1]}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{chosen.health_listen_addr[1]}",
        **more,
    }
    hub = await (fork_server.start if forked else execute)("hub", environ, log)
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(hub.wait())
        try:
            await ready(chosen, ended)
            yield chosen
        finally:
            with contextlib.suppress(ProcessLookupError):
                hub.send_signal(signal.SIGKILL)


async def ready(chosen: HubSettings, hub: asyncio.Task[Any]) -> None:
    """Return when the hub says that it is ready, or has ended."""
    async with asyncio.timeout(40):
        for pause_s in pauses():
            if hub.done():
                return
            with contextlib.suppress(OSError):
                if (await plain_http.get(chosen.health_listen_addr[1], "/readyz")).is_success:
                    return
            await asyncio.sleep(pause_s)
