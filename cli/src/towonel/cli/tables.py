"""Lists of the command line: whole unless asked for fewer, and numbers as people read them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import BaseModel

from towonel.api.traffic import Traffic
from towonel.cli.output import Rows, Shown, shown_time
from towonel.client.pages import Fetch, Paged, pages

SHORT = (
    16  # characters of an id that tables show; more than enough to tell apart, and to search for
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024

Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many. [default: all]"),
]
TenantId = Annotated[
    str | None,
    typer.Option("--tenant-id", metavar="HEX", help="Only this tenant's.", show_default=False),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="NAME", help="Only of this group of agents.", show_default=False
    ),
]


async def listed[P: Paged, T: BaseModel](
    fetch: Fetch[P], items: Callable[[P], Iterable[T]], limit: int | None = None
) -> list[T]:
    """Return a list, page after page, up to a limit."""
    found: list[T] = []
    async for item in pages(fetch, items):
        found.append(item)
        if len(found) == limit:
            break
    return found


def shown_list[T: BaseModel](
    name: str,
    found: Sequence[T],
    columns: Sequence[str],
    row: Callable[[T], Sequence[str]],
    empty: str,
) -> Shown:
    """Return a list as it is printed; `name` is what it is called in JSON."""
    document: dict[str, object] = {name: [item.model_dump(mode="json") for item in found]}
    return Shown(document, Rows(columns, [row(item) for item in found], empty))


def shown_bytes(count: int) -> str:
    """Return an amount of data with three digits at least: `999 B`, `1.50 KiB`, `12.3 GiB`."""
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return _digits(size, unit)
        size /= _STEP
    return _digits(size, _UNITS[-1])


def shown_traffic(traffic: Traffic) -> str:
    """Return what was carried, in a few words."""
    return (
        f"{traffic.connections_active} open of {traffic.connections_total} connections,"
        f" {shown_bytes(traffic.bytes_in)} in, {shown_bytes(traffic.bytes_out)} out"
    )


def shown_live(since: datetime | None) -> str:
    """Return since when something is live, or that it is not."""
    return "no" if since is None else f"since {shown_time(since)}"


def _digits(size: float, unit: str) -> str:
    if unit == "B":
        return f"{size:.0f} B"
    places = max(0, 3 - len(str(int(size))))
    return f"{size:.{places}f} {unit}"
