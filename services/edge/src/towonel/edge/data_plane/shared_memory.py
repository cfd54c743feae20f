"""Memory that the workers of an edge share, as control sees it: it outlives each of them."""

import os

from towonel.edge.worker.messages import Start
from towonel.edge.worker.shared import POOLS, count_all_columns
from towonel.relay.core.lane_counts import NO_LANES, NO_SLOT, LaneSums, sum_lanes
from towonel.relay.shared_rows import clear_row, create_rows, map_rows
from towonel.runtime.environment.memory_files import need_memory_file


class SharedMemory:
    """Shared memory of so many workers as a start says.

    Attributes:
        sessions: places for them.

    Raises:
        GiveUp: there is none.
    """

    def __init__(self, start: Start) -> None:
        self.sessions = start.sessions
        of_lanes, of_clients = count_all_columns(start)
        columns = of_lanes + of_clients.total
        with need_memory_file("the counts that its workers share"):
            self._descriptor = create_rows(start.workers, columns)
            self._rows = map_rows(self._descriptor, start.workers, columns)

    def duplicate(self) -> int:
        """Return a descriptor for a worker."""
        return os.dup(self._descriptor)

    def clear(self, number: int) -> None:
        """Forget what a worker counted that is gone."""
        clear_row(self._rows[number])

    def count_lanes(self, slot: int) -> LaneSums:
        """Return the sums of a session's lanes over the workers, of both pools."""
        if slot == NO_SLOT:
            return NO_LANES
        pools = [sum_lanes(self._rows, slot + pool * self.sessions) for pool in range(POOLS)]
        return LaneSums(*map(sum, zip(*pools, strict=True)))

    def close(self) -> None:
        """Give the memory back, once no worker has it any more."""
        self._rows.clear()
        os.close(self._descriptor)
