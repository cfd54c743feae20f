"""Rows of the table that `make chaos` prints: the figures of one scenario, each of a plain type, and what is wrong there."""

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.box import MARKDOWN
from rich.table import Table
from support.chaos.traffic import Outcome

type Row = dict[str, str | int | float]
COLUMNS = (
    *(
        "scenario",
        "lasted s",
        "right",
        "errors",
        "slowest s",
        "served",
        "within s",
        "refused",
        "in s",
    ),
    *("back s", "links", "packets", "dropped", "twice", "late", "seed"),
)
NEVER = ("wrong", "short", "stuck")


def describe(lasting: list[Outcome], new: list[Outcome]) -> Row:
    """Return the figures of connections: of those that lasted, and of new ones."""
    how, served = Counter(outcome.how for outcome in lasting), Counter(each.how for each in new)
    return {
        "right": how["right"],
        "errors": how["error"],
        "slowest s": longest(lasting),
        "served": served["right"],
        "within s": longest(each for each in new if each.how == "right"),
        "refused": served["error"],
        "in s": longest(each for each in new if each.how != "right"),
    }


def count_packets(counts: Mapping[str, int]) -> Row:
    """Return the figures of the relay's packets."""
    dropped = sum(counts.get(why, 0) for why in ("blocked", "lost", "overflowed", "unsent"))
    twice, late = counts.get("duplicated", 0), counts.get("reordered", 0)
    return {"packets": counts.get("came", 0), "dropped": dropped, "twice": twice, "late": late}


def find_never(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the connections that ended as none may."""
    return [str(outcome) for outcome in outcomes if outcome.how in NEVER]


def longest(outcomes: Iterable[Outcome]) -> float:
    """Return how long the longest of these connections lasted."""
    return round(max((outcome.seconds for outcome in outcomes), default=0.0), 1)


def make_table(rows: Iterable[Row]) -> Table:
    """Return the table of all scenarios."""
    table = Table(*COLUMNS, box=MARKDOWN)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in COLUMNS))
    return table
