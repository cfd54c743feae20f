"""Memory that the workers of an edge share, as control sees it: it outlives each of them."""

import os

from towonel.edge.core.shared_use import COLUMNS
from towonel.edge.flows.messages import LimitsMemory
from towonel.edge.worker.messages import Start
from towonel.edge.worker.shared import POOLS, count_rows, share_limits
from towonel.relay.core.lane_counts import NO_LANES, NO_SLOT, LaneSums, sum_lanes
from towonel.relay.shared_rows import clear_row, create_rows, map_rows
from towonel.runtime.environment.memory_files import need_memory_file


class SharedMemory:
    """Shared memory of so many workers as a start says.

    Attributes:
        sessions: places for them.
        limits: of tenants, as of control.
        of_flows: what the flow worker is told of it.

    Raises:
        GiveUp: there is none.
    """

    def __init__(self, start: Start) -> None:
        self.sessions = start.sessions
        rows, columns = count_rows(start)
        self.of_flows = LimitsMemory(rows, columns, start.secret)
        with need_memory_file("the counts that its workers share"):
            self._descriptor = create_rows(rows, columns)
            self._rows = map_rows(self._descriptor, rows, columns)
        self.limits = share_limits(start, self._rows, start.workers)

    def duplicate(self) -> int:
        """Return a descriptor for a worker."""
        return os.dup(self._descriptor)

    def clear(self, number: int) -> None:
        """Forget what a worker counted that is gone; what it has used of limits stays used."""
        clear_row(self._rows[number][:-COLUMNS])

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
