"""Cells of the benchmark: a kind of work on so many connections, and the figures that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from load_driver import Outcome

BULK, ECHO, CONN, IDLE, BESIDE = ("down", "up"), "echo", "conn", "idle", "beside"
MODES = (IDLE, *BULK, ECHO, CONN, BESIDE)
# Memory comes first: after other work a program may have some left over from it. For the same reason
# what leaves thousands of closed connections behind comes last.
DEFAULT = (
    "idle-1000",
    "down-1",
    "down-8",
    "up-1",
    "up-8",
    "echo-1",
    "echo-32",
    "echo-256",
    "conn-16",
    "beside-8000",
)
MAX_CONNECTIONS = 8_000  # each is two descriptors in some programs, whose limit is often 20 000
LOAD_SHARE = "load_share"  # of one client's time that waits: what driver and origin worked of it
type Figures = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """A kind of work on so many connections."""

    mode: str
    connections: int

    @property
    def name(self) -> str:
        return f"{self.mode}-{self.connections}"

    @property
    def is_alternating(self) -> bool:
        """Whether driver, tunnel and origin work one after the other: one client that waits for its answer."""
        return self.mode in {ECHO, CONN} and self.connections == 1

    @property
    def held(self) -> int:
        """Connections that are open at once: beside idle ones there is a busy one."""
        return self.connections + (self.mode == BESIDE)


def parse_cells(text: str) -> list[Cell]:
    """Return the cells of a list such as `down-8,echo`, where a mode alone is all its default cells.

    Raises:
        ValueError: with what is wrong.
    """
    names = [
        name
        for part in text.split(",")
        for name in ([one for one in DEFAULT if one.startswith(f"{part}-")] or [part])
    ]
    return list(dict.fromkeys(map(_parse_cell, names)))


def _parse_cell(name: str) -> Cell:
    mode, _, count = name.partition("-")
    if mode not in MODES or not count.isascii() or not count.isdecimal():
        raise ValueError(
            f"{name!r} is no cell: it is {', '.join(MODES)}, alone or with a number of connections "
            "as in echo-32"
        )
    if not 1 <= int(count) <= MAX_CONNECTIONS:
        raise ValueError(f"{name!r} must have 1 to {MAX_CONNECTIONS} connections")
    return Cell(mode, int(count))


def figures_of_load(cell: Cell, outcome: Outcome, spent_s: Mapping[str, float]) -> Figures:
    """What a load made, and what it cost each side of a tunnel; `direct` has no side."""
    seconds = outcome.seconds or 1.0
    if cell.mode in BULK:
        found = {"gbit_s": outcome.bytes * 8 / seconds / 1e9}
        cost, amount = "cpu_s_per_gb", outcome.bytes / 1e9
    else:
        found = {
            "per_s": outcome.operations / seconds,
            "p50_ms": outcome.p50_us / 1e3,
            "p99_ms": outcome.p99_us / 1e3,
        }
        cost, amount = "cpu_us_per_op", outcome.operations / 1e6
    return found | (_per(cost, spent_s, amount) if amount else {}) | {"failed": outcome.failed}


def shares_of_load(cell: Cell, outcome: Outcome, spent_s: Mapping[str, float]) -> Figures:
    """How much of a core driver and origin were busy: the busier one, and both where they alternate."""
    shares = [spent / (outcome.seconds or 1.0) for spent in spent_s.values()]
    both = {LOAD_SHARE: sum(shares)} if cell.is_alternating else {}
    return {"driver_share": max(shares)} | both


def figures_of_beside(alone: Figures, beside: Figures) -> Figures:
    """What one client had beside idle ones, and the rate and latencies that it had without them."""
    return beside | {
        **{f"{name}_alone": alone[name] for name in ("per_s", "p50_ms", "p99_ms")},
        "failed": alone["failed"] + beside["failed"],
    }


def figures_of_idle(
    cell: Cell, outcome: Outcome, before: Mapping[str, float], after: Mapping[str, float]
) -> Figures:
    """What an idle client costs each side."""
    grown = {side: after[side] - before[side] for side in before}
    return _per("kib_per_client", grown, cell.connections) | {"failed": outcome.failed}


def _per(name: str, sides: Mapping[str, float], amount: float) -> Figures:
    if not sides:
        return {}
    each = {f"{name}_{side}": value / amount for side, value in sides.items()}
    return {name: sum(sides.values()) / amount} | each
