"""Memory with the counts of clients of an agent's processes, as control sees it: it outlives each worker."""

import os

from towonel.agent.core.client_counts import COLUMNS, ClientCounts
from towonel.relay.shared_rows import clear_row, create_rows, map_rows
from towonel.runtime.environment.memory_files import need_memory_file


class ClientMemory:
    """Memory with a row of control, and one of each worker.

    Args:
        workers: how many there are.

    Raises:
        GiveUp: there is none.

    Attributes:
        counts: as control sees them.
    """

    def __init__(self, workers: int) -> None:
        with need_memory_file("the counts that its workers share"):
            self._descriptor = create_rows(1 + workers, COLUMNS)
            self._rows = map_rows(self._descriptor, 1 + workers, COLUMNS)
        self.counts = ClientCounts(self._rows, 0)

    def duplicate(self) -> int:
        """Return a descriptor for a worker."""
        return os.dup(self._descriptor)

    def clear(self, worker: int) -> None:
        """Forget the clients of a worker that is gone."""
        clear_row(self._rows[1 + worker])

    def close(self) -> None:
        """Give the descriptor back; the counts may still be read."""
        os.close(self._descriptor)
