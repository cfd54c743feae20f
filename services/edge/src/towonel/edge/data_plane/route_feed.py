"""Feed of routes to workers, in order: changes one by one, and an index of a large table that all of them map.

Changes go to workers as they come. Once there are many, an index is written that has them, too, in a thread,
while further ones go on; workers then use it in their place. A change of many routes at once is an index only.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Protocol

from towonel.edge.core.route_index_writer import Change
from towonel.edge.core.route_layers import Layer
from towonel.edge.core.route_pieces import encode_pieces, to_delta
from towonel.edge.core.route_table import FEW_ROUTES, RouteTable
from towonel.edge.data_plane.index_failures import IndexFailures
from towonel.edge.data_plane.index_file import IndexFile, write_index_file
from towonel.edge.worker import messages
from towonel.edge.worker.messages import Message, Routes, RoutesFrozen
from towonel.runtime.environment.memory_files import describe_lack
from towonel.wire.routes import RouteDelta


class RouteReader(Protocol):
    """Reader of routes: one worker."""

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, whose descriptors are closed then."""
        ...

    def on_routes(self) -> None:
        """Act on a whole table that was sent."""
        ...


class RouteFeed:
    """Feed of the routes of a table.

    Args:
        table: of control.
        readers: returns the workers.
        failures: to make an index.
        few: changes that need no index.
        retry_s: after which an index is written again for which there was no memory.
    """

    def __init__(
        self,
        table: RouteTable,
        readers: Callable[[], Collection[RouteReader]],
        failures: IndexFailures,
        few: int = FEW_ROUTES,
        retry_s: float = 10.0,
    ) -> None:
        self._table = table
        self._readers = readers
        self._failures = failures
        self._few = few
        self._retry_s = retry_s
        self._file: IndexFile | None = None
        self._writing = asyncio.Lock()
        self._has_grown = asyncio.Event()

    def send(self, delta: RouteDelta) -> None:
        """Send all workers a change that the table has taken, as of `RouteTable.compare`."""
        for piece in encode_pieces(delta):
            for reader in self._readers():
                reader.send(Routes(piece))
        self._check_size()

    def feed(self, reader: RouteReader) -> None:
        """Send a worker that has started the whole table.

        Raises:
            OSError: there is no descriptor for the index.
        """
        table, layers = self._table, self._table.layers
        if self._file is not None:
            reader.send(messages.RouteIndex(is_new=True), self._file.duplicate(1))
        if layers.frozen:
            _send_delta(reader, to_delta(layers.frozen))
            reader.send(RoutesFrozen())
        _send_delta(reader, to_delta(layers.recent, table.blocked, table.limits))
        reader.on_routes()
        self._check_size()

    async def replace(self, delta: RouteDelta) -> None:
        """Bring a change of many routes into the table, as of `RouteTable.compare`, and to all workers.

        Meanwhile nobody else may change the table.

        Raises:
            OSError: there is no memory, or no descriptor, for it; the table stays as it is.
        """
        async with self._writing:
            layers = self._table.layers
            changes = partial(_merge, layers.changes(), delta)
            try:
                file = await asyncio.to_thread(write_index_file, layers.index, changes)
                copies = self._duplicate(file)
            except OSError as error:
                self._note(error)
                raise
            self._table.replace(file.index)
            self._use(file, copies, is_new=True)

    async def run(self) -> None:
        """Write a new index whenever there are many changes, for ever."""
        while True:
            await self._has_grown.wait()
            self._has_grown.clear()
            try:
                async with self._writing:
                    await self._renew()
            except OSError as error:
                self._note(error)
                await asyncio.sleep(self._retry_s)
                self._has_grown.set()

    def close(self) -> None:
        """Close the file; workers keep it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _renew(self) -> None:
        layers = self._table.layers
        if len(layers.changes()) <= self._few:
            return  # an index that was written meanwhile has them
        changes = layers.freeze().items
        for reader in self._readers():
            reader.send(RoutesFrozen())
        file = await asyncio.to_thread(write_index_file, layers.index, changes)
        copies = self._duplicate(file)
        layers.settle(file.index)
        self._use(file, copies, is_new=False)
        self._check_size()

    def _duplicate(self, file: IndexFile) -> list[int]:
        """Return a descriptor for each worker; where there are no more, it is not used."""
        try:
            return file.duplicate(len(self._readers()))
        except OSError:
            file.close()
            raise

    def _note(self, error: OSError) -> None:
        self._failures.note(describe_lack("the index of routes", error))

    def _use(self, file: IndexFile, copies: Sequence[int], *, is_new: bool) -> None:
        self.close()
        self._failures.clear()
        self._file = file
        for reader, copy in zip(self._readers(), copies, strict=True):
            reader.send(messages.RouteIndex(is_new), [copy])

    def _check_size(self) -> None:
        if len(self._table.layers.recent) > self._few:
            self._has_grown.set()


def _merge(recent: Layer, delta: RouteDelta) -> Iterator[Change]:
    yield from recent.items()
    for key in delta.removed:
        yield key, None
    for route in delta.routes:
        yield route.key, route


def _send_delta(reader: RouteReader, delta: RouteDelta) -> None:
    for piece in encode_pieces(delta):
        reader.send(Routes(piece))
