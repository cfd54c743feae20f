"""Results of the benchmark: medians, their ratios, and the table of both."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cells import LOAD_SHARE, Figures
from rich.box import MARKDOWN
from rich.table import Table
from subjects import DIRECT, HAPROXY, RATHOLE, SUBJECTS

BASES = (RATHOLE, HAPROXY, DIRECT)
RATES = ("gbit_s", "per_s", "kib_per_client")
COSTS = ("cpu_s_per_gb", "cpu_us_per_op")
UNITS = {
    "gbit_s": "Gbit/s",
    "per_s": "/s",
    "kib_per_client": "KiB/client",
    "cpu_s_per_gb": "s/GB",
    "cpu_us_per_op": "us/op",
}
COLUMNS = (
    *("cell", "subject", "rate", "x rathole", "x haproxy", "x direct"),
    *("p50 ms", "p99 ms", "x rathole", "x haproxy", "x alone"),
    *("CPU", "x rathole", "x haproxy", "failed"),
)
ALONE = "_alone"  # ends the name of what a busy client had without the idle ones beside it
type Medians = dict[str, dict[str, Figures]]  # by cell and subject


@dataclass(frozen=True)
class Row:
    """The figures of one measurement."""

    round: int
    cell: str
    subject: str
    figures: Figures


def medians(rows: Iterable[Row]) -> Medians:
    """Return the median of each figure; failures are added up."""
    values: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for figure, value in row.figures.items():
            values[row.cell][row.subject].setdefault(figure, []).append(value)
    return {
        cell: {
            subject: {
                figure: sum(them) if figure == "failed" else statistics.median(them)
                for figure, them in figures.items()
            }
            for subject, figures in subjects.items()
        }
        for cell, subjects in values.items()
    }


def ratio(subjects: Mapping[str, Figures], subject: str, figure: str, base: str) -> float | None:
    """Return a figure divided by that of another subject in the same cell, where both have it."""
    value, other = (subjects.get(name, {}).get(figure) for name in (subject, base))
    return value / other if value is not None and other else None


def ratio_to_alone(figures: Figures, figure: str) -> float | None:
    """Return a figure of a busy client divided by what it was without idle ones, if that was measured."""
    value, alone = figures.get(figure), figures.get(figure + ALONE)
    return value / alone if value is not None and alone else None


def with_ratios(found: Medians) -> dict[str, dict[str, dict[str, float | Figures]]]:
    """Return the medians with those of their ratios that there are, for the file."""
    return {
        cell: {
            subject: {
                **figures,
                **_ratios_to_alone(figures),
                **{
                    f"x_{base}": {
                        figure: one
                        for figure in figures
                        if (one := ratio(subjects, subject, figure, base)) is not None
                    }
                    for base in BASES
                },
            }
            for subject, figures in subjects.items()
        }
        for cell, subjects in found.items()
    }


def _ratios_to_alone(figures: Figures) -> dict[str, Figures]:
    found = {name: ratio_to_alone(figures, name) for name in figures}
    there = {name: one for name, one in found.items() if one is not None}
    return {"x_alone": there} if there else {}


def load_margins(found: Medians) -> dict[str, tuple[str, float]]:
    """Return for each cell its fastest subject, and how much faster driver and origin are.

    They are as fast as a direct connection is. Where driver and origin alternate, a direct connection tells
    how long a processor takes to wake up, if they happen to be on two: there it is the time that they work.
    """
    margins: dict[str, tuple[str, float]] = {}
    for cell, subjects in found.items():
        tunnels = {name: it for name, it in subjects.items() if name != DIRECT}
        rate = next((it for it in RATES[:2] if any(f.get(it) for f in tunnels.values())), None)
        if rate is None:
            continue
        fastest = max(tunnels, key=lambda name: tunnels[name].get(rate, 0.0))
        share = tunnels[fastest].get(LOAD_SHARE)
        direct = subjects.get(DIRECT, {}).get(rate)
        if share:
            margins[cell] = (fastest, 1 / share)
        elif share is None and direct is not None:
            margins[cell] = (fastest, direct / tunnels[fastest][rate])
    return margins


def table(found: Medians) -> Table:
    """Draw the medians, each cell's subjects side by side; it is valid Markdown."""
    drawn = Table(box=MARKDOWN)
    for column in COLUMNS:
        drawn.add_column(
            column, justify="left" if column in {"cell", "subject"} else "right", no_wrap=True
        )
    for cell, subjects in found.items():
        for subject in sorted(subjects, key=list(SUBJECTS).index):
            drawn.add_row(*_cells_of_row(cell, subject, subjects))
    return drawn


def _cells_of_row(cell: str, subject: str, subjects: Mapping[str, Figures]) -> list[str]:
    figures = subjects[subject]
    rate = next((name for name in RATES if name in figures), "")
    cost = next((name for name in COSTS if name in figures), "")

    def divided(figure: str, *bases: str) -> list[str]:
        return [
            _text(None if subject == base else ratio(subjects, subject, figure, base))
            for base in bases
        ]

    return [
        *(cell, subject, _with_unit(figures, rate), *divided(rate, *BASES)),
        *(_text(figures.get("p50_ms")), _text(figures.get("p99_ms"))),
        *(*divided("p99_ms", RATHOLE, HAPROXY), _text(ratio_to_alone(figures, "p99_ms"))),
        *(_with_unit(figures, cost), *divided(cost, RATHOLE, HAPROXY)),
        f"{figures['failed']:.0f}" if figures.get("failed") else "",
    ]


def format_number(value: float) -> str:
    """Three digits, or all those before the point."""
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    return f"{value:,.{decimals}f}"


def _text(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _with_unit(figures: Figures, name: str) -> str:
    return f"{format_number(figures[name])} {UNITS[name]}" if name in figures else ""
