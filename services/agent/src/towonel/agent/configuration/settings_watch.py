"""Watch of the agent's settings: read again at SIGHUP, and when a file that they come from has changed.

The environment of a process does not change, but files that its `…_FILE` variables name do. Services may change
while the agent runs, and its weight, and nothing else.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from towonel.agent.core.publication import format_names
from towonel.agent.settings import LIVE_FIELDS, SERVICE_FIELDS, AgentSettings
from towonel.runtime.admin import Health
from towonel.runtime.settings import SettingsError

CHECK_S: Final = 2.0  # a file counts as changed once it has stayed as it is for so long
SETTINGS: Final = "settings"
type _Stamp = tuple[int, ...]
type ReadSettings = Callable[[], AgentSettings]
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class SettingsWatch:
    """Watch that has changed services served; of all else it says that a restart is needed.

    Args:
        settings: as they were read at the start.
        change: has other services served, with another weight.
        read: reads them again, or raises SettingsError.
        health: says what is wrong with those that were read last.
        check_s: between looks at the files.
    """

    def __init__(
        self,
        settings: AgentSettings,
        change: Callable[[AgentSettings], None],
        read: ReadSettings,
        health: Health,
        check_s: float = CHECK_S,
    ) -> None:
        self._in_force = self._settings = settings
        self._health = health
        self._ignored: Mapping[str, object] = {}  # what a restart would take, by variable
        self._change = change
        self._read_again = read
        self._check_s = check_s
        self._read = self._pending = self._stamp()
        self.requested = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if await self._wait_requested():
                self._reload()
            elif (stamp := self._stamp()) != self._pending:
                self._pending = stamp  # it may be half written
            elif stamp != self._read:
                self._reload()

    async def _wait_requested(self) -> bool:
        """Wait for a request, or where there are files for the time of the next look; tell which it was."""
        try:
            async with asyncio.timeout(self._check_s if self._settings.files else None):
                await self.requested.wait()
        except TimeoutError:
            return False
        self.requested.clear()
        return True

    def _reload(self) -> None:
        """Read the settings again; what was in force stays where there is a mistake."""
        self._read = self._pending = self._stamp()
        try:
            settings = self._read_again()
            _check_present(self._settings, settings)
        except SettingsError as error:
            for line in error.problems:
                log.error("settings.refused", problem=line)  # noqa: TRY400 the line says it all
            reason = f"{format_names(error.problems)}; what was read before is in force"
            self._health.set_degraded(SETTINGS, reason=reason)
            return
        self._health.set_degraded(SETTINGS, reason=None)
        ignored = _find_ignored(self._in_force, settings)
        if ignored and ignored != self._ignored:
            log.warning("settings.restart_needed", variables=", ".join(ignored))
        self._ignored = ignored
        log.info("settings.read", services=len(settings.all_services))
        self._settings = settings
        self._change(settings)

    def _stamp(self) -> tuple[_Stamp, ...]:
        """Return what changes when one of the files does, or what a link in its path leads to."""
        return tuple(map(_stamp_of, self._settings.files))


def _stamp_of(path: str) -> _Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 no object for each look
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_present(before: AgentSettings, after: AgentSettings) -> None:
    """Check that services are not gone by mistake: a file that is empty is most often one half written.

    Raises:
        SettingsError: there were some, and nothing says that there are none.
    """
    problems = [
        f"{before.variable_of(field)}: is not set any more; [] is for no services at all"
        for field in SERVICE_FIELDS
        if getattr(before, field) and field not in after.model_fields_set
    ]
    if problems:
        raise SettingsError(problems)


def _find_ignored(before: AgentSettings, after: AgentSettings) -> dict[str, object]:
    """Return the values of variables that have another one than at the start, and are read only then."""
    fields = [field for field in type(before).model_fields if field not in LIVE_FIELDS]
    return {
        before.variable_of(field): getattr(after, field)
        for field in fields
        if getattr(before, field) != getattr(after, field)
    }


async def watch_settings(
    settings: AgentSettings,
    change: Callable[[AgentSettings], None],
    read: ReadSettings | None,
    health: Health,
) -> None:
    """Watch the settings until cancelled, if they can be read again; SIGHUP asks for it."""
    if read is not None:
        watch = SettingsWatch(settings, change, read, health)
        _handle_hang_up(watch.requested.set)
        await watch.run()


def _handle_hang_up(request: Callable[[], object]) -> None:
    """Have SIGHUP call `request`, in the running loop; a terminal that is closed ends the process as before.

    Where SIGHUP is ignored, as under nohup, it stays so.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    loop, has_terminal = asyncio.get_running_loop(), os.isatty(0)

    def handle(_number: int, _frame: object) -> None:
        if has_terminal and not os.isatty(0):
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            loop.call_soon_threadsafe(request)

    signal.signal(signal.SIGHUP, handle)
