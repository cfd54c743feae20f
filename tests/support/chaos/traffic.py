"""Traffic through a bad network: connections that last, and new ones that come all the time; and what became of each."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from support.chaos.kinds import Kind, Place
from support.chaos.uses import EarlyEndError, Use, WrongBytesError

EACH = 10  # connections of each kind and use
START_S = 0.02  # between two connections: lanes are dialled as clients come, and many at once go by stream
NEW_EVERY_S = 0.5  # of each kind
NEW_LIMIT_S = 45.0  # an edge tries for 15 s; one that was served is lost with its lane after 35 s

TRANSFERS = ("download", "upload")  # uses that end by themselves

type How = Literal["right", "error", "short", "wrong", "stuck"]


@dataclass(frozen=True)
class Outcome:
    """End of one connection: `error` is one that a client notices, `short` an end in order before all was there."""

    kind: str
    use: str
    how: How
    begun: float
    ended: float
    detail: str = ""

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.ended - self.begun


async def attempt(
    kind: Kind[Any], place: Place, use: Use[Any], number: int, over: asyncio.Event
) -> Outcome:
    """Connect, do one thing, and return how it ended."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    how: How = "right"
    detail = ""
    try:
        async with kind.connect(place) as streams:
            await use(streams, number, over)
    except WrongBytesError as error:
        how, detail = "wrong", str(error)
    except EarlyEndError as error:
        how, detail = "error" if kind.has_tls else "short", str(error)
    except (OSError, EOFError) as error:
        how, detail = "error", repr(error)
    return Outcome(kind.name, use.__name__, how, begun, loop.time(), detail)


@dataclass
class Traffic:
    """Traffic of all kinds; `start` begins it, and `finish` ends it."""

    places: Mapping[Kind[Any], Place]
    tasks: asyncio.TaskGroup
    each: int = EACH
    lasting: list[Outcome] = field(default_factory=list[Outcome])
    new: list[Outcome] = field(default_factory=list[Outcome])
    over: asyncio.Event = field(default_factory=asyncio.Event)
    active: dict[asyncio.Task[None], tuple[str, str, float]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _transfers: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Begin all connections that last, one after another, and the first new ones."""
        for kind, place in self.places.items():
            for use in kind.uses * self.each:
                task = self.tasks.create_task(self._run(kind, place, use))
                self.active[task] = (kind.name, use.__name__, asyncio.get_running_loop().time())
                task.add_done_callback(self.active.pop)
                if use.__name__ in TRANSFERS:
                    self._transfers.add(task)
                await asyncio.sleep(START_S)
            self.tasks.create_task(self._come(kind, place))

    async def transferred(self, within_s: float) -> None:
        """Return once downloads and uploads have ended, or after this time."""
        await asyncio.wait(self._transfers, timeout=within_s)

    async def finish(self, within_s: float) -> None:
        """End what goes on until it is over; what is left after this time is stuck."""
        self.over.set()
        loop = asyncio.get_running_loop()
        if self.active:
            await asyncio.wait([*self.active], timeout=within_s)
        for task, (kind, use, begun) in self.active.items():
            self.lasting.append(Outcome(kind, use, "stuck", begun, loop.time()))
            task.cancel()

    async def _run(self, kind: Kind[Any], place: Place, use: Use[Any]) -> None:
        self.lasting.append(await attempt(kind, place, use, next(self._numbers), self.over))

    async def _come(self, kind: Kind[Any], place: Place) -> None:
        """Be new clients, one after another, whatever becomes of those before."""
        while not self.over.is_set():
            self.tasks.create_task(self._ask(kind, place))
            await asyncio.sleep(NEW_EVERY_S)

    async def _ask(self, kind: Kind[Any], place: Place) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(NEW_LIMIT_S):
                outcome = await attempt(kind, place, kind.ask, 0, self.over)
        except TimeoutError:
            outcome = Outcome(kind.name, kind.ask.__name__, "stuck", begun, loop.time())
        self.new.append(outcome)
