"""Schedule of the benchmark: in each round every subject starts anew, and they take turns in each cell."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cells import (
    BESIDE,
    ECHO,
    IDLE,
    Cell,
    Figures,
    figures_of_beside,
    figures_of_idle,
    figures_of_load,
    shares_of_load,
)
from load_driver import Driver, Outcome, run_driver
from process_usage import cpu_s, resident_kib
from results import COSTS, RATES, Row
from subject import Entry, Subject, SubjectError

WARM_UP_CONNECTIONS = 8
CALM_S, CALM_WITHIN_S = 0.05, 3.0
PRINTED = (*RATES, "p50_ms", "p99_ms", *COSTS, "p99_ms_alone")


@dataclass
class Report:
    """Measurements so far, and subjects, and cells of subjects, that were left out or broke, with the reason."""

    rows: list[Row] = field(default_factory=list[Row])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    broken: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Schedule:
    """Subjects, cells, rounds and seconds of a run; `tell` prints each measurement."""

    subjects: list[Subject]
    cells: list[Cell]
    rounds: int
    seconds: float
    tell: Callable[[str], None]

    async def run(self, program: Path, report: Report) -> None:
        for subject in self.subjects:
            report.left_out |= self._find_left_out(subject)
        for name, reason in report.left_out.items():
            self.tell(f"{name} is left out: {reason}")
        async with run_driver(program) as driver:
            for number in range(1, self.rounds + 1):
                await self._run_round(number, driver, report)

    def _find_left_out(self, subject: Subject) -> dict[str, str]:
        """Return why a subject, or a cell of it, cannot be measured."""
        reason, most = subject.reason_to_leave_out(), subject.most_connections
        if reason is not None:
            return {subject.name: reason}
        return {
            _name_of(cell, subject.name): f"it holds {most:,} connections at once"
            for cell in self.cells
            if most is not None and cell.held > most
        }

    async def _run_round(self, number: int, driver: Driver, report: Report) -> None:
        present = [it for it in self.subjects if it.name not in report.left_out]
        # Whoever is first in one round is last in the next.
        turn = (number - 1) % max(1, len(present))
        async with contextlib.AsyncExitStack() as exits:
            entries: dict[str, Entry] = {}
            for subject in present[turn:] + present[:turn]:
                try:
                    entry = await exits.enter_async_context(_start(subject, driver.origin_port))
                except (SubjectError, AssertionError, TimeoutError, OSError) as error:
                    report.broken[subject.name] = str(error) or type(error).__name__
                    self.tell(f"{subject.name} does not start: {report.broken[subject.name]}")
                else:
                    entries[subject.name] = entry
            for cell in self.cells:
                for name, entry in entries.items():
                    if not entry.roots and cell.mode == IDLE:
                        continue  # there is nothing whose memory it could be
                    if _name_of(cell, name) not in report.left_out:
                        await self._run_cell(number, driver, report, cell, name, entry)

    async def _run_cell(
        self, number: int, driver: Driver, report: Report, cell: Cell, name: str, entry: Entry
    ) -> None:
        figures, failure = await measure(driver, cell, entry, self.seconds)
        report.rows.append(Row(number, cell.name, name, figures))
        if failure:
            report.broken.setdefault(name, f"{cell.name}: {failure}")
        said = _summary(cell, name, figures, failure)
        self.tell(f"round {number}/{self.rounds} {said}")


@contextlib.asynccontextmanager
async def _start(subject: Subject, origin: int) -> AsyncIterator[Entry]:
    with tempfile.TemporaryDirectory(prefix=f"bench-{subject.name}-") as folder:
        async with subject.start(Path(folder), origin) as entry:
            yield entry


async def measure(driver: Driver, cell: Cell, entry: Entry, seconds: float) -> tuple[Figures, str]:
    """Return the figures of a cell, and the first failure if there was one."""
    await _calm_down(entry)
    if cell.mode == IDLE:
        return await _measure_idle(driver, cell, entry)
    if cell.mode == BESIDE:
        return await _measure_beside(driver, cell, entry, seconds)
    return await _measure_load(driver, cell, entry, seconds)


async def _measure_load(
    driver: Driver, cell: Cell, entry: Entry, seconds: float
) -> tuple[Figures, str]:
    async with driver.load(cell.mode, entry.port, cell.connections, seconds) as load:
        ours = {"driver": load.process.pid, "origin": driver.origin_pid}
        before = cpu_s({**entry.roots, **ours})
        await load.run()
        after = cpu_s({**entry.roots, **ours})
        outcome = await load.outcome()
    spent = {side: after[side] - before[side] for side in after}
    figures = figures_of_load(cell, outcome, {side: spent[side] for side in entry.roots})
    figures |= shares_of_load(cell, outcome, {side: spent[side] for side in ours})
    return figures, outcome.failure


async def _measure_idle(driver: Driver, cell: Cell, entry: Entry) -> tuple[Figures, str]:
    # What a program makes once, with its first clients, is not what each client costs.
    await _hold(driver, entry, WARM_UP_CONNECTIONS)
    before = resident_kib(entry.roots)
    outcome, after = await _hold(driver, entry, cell.connections)
    return figures_of_idle(cell, outcome, before, after), outcome.failure


async def _measure_beside(
    driver: Driver, cell: Cell, entry: Entry, seconds: float
) -> tuple[Figures, str]:
    """Measure one busy client without idle ones, and then the same beside them."""
    busy = Cell(ECHO, 1)
    alone, failure = await _measure_load(driver, busy, entry, seconds)
    async with driver.load(IDLE, entry.port, cell.connections, 0) as idle:
        await _calm_down(entry)
        beside, failure_beside = await _measure_load(driver, busy, entry, seconds)
        await idle.run()
        outcome = await idle.outcome()
    await _calm_down(entry)
    figures = figures_of_beside(alone, beside)
    figures["failed"] += outcome.failed
    return figures, failure or outcome.failure or failure_beside


async def _hold(driver: Driver, entry: Entry, connections: int) -> tuple[Outcome, dict[str, float]]:
    async with driver.load(IDLE, entry.port, connections, 0) as load:
        await _calm_down(entry)
        resident = resident_kib(entry.roots)
        await load.run()
        outcome = await load.outcome()
    await _calm_down(entry)
    return outcome, resident


async def _calm_down(entry: Entry) -> None:
    """Wait until the processes are done with what came before."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CALM_WITHIN_S):
            spent, before = cpu_s(entry.roots), dict[str, float]()
            while entry.roots and spent != before:
                await asyncio.sleep(CALM_S)
                spent, before = cpu_s(entry.roots), spent


def _summary(cell: Cell, name: str, figures: Figures, failure: str) -> str:
    parts = [f"{figure} {figures[figure]:,.3f}" for figure in PRINTED if figure in figures]
    failed = f"; {figures['failed']:.0f} failed: {failure}" if failure else ""
    return f"{_name_of(cell, name)}: {', '.join(parts)}{failed}"


def _name_of(cell: Cell, subject: str) -> str:
    return f"{cell.name} {subject}"
