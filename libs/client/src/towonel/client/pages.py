"""Iterator over a list that comes in pages."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Protocol

from towonel.wire.errors import Code, ProtocolError

MAX_PAGES = 100_000  # a hub whose list does not end is broken


class Paged(Protocol):
    """Part of a list: the answer of any `list` method."""

    @property
    def next_cursor(self) -> str | None:
        """Cursor of the next part; None at the end."""
        ...


class Fetch[P](Protocol):
    """A `list` method, its filters bound: `partial(hub.agents.list, tenant_id=…)`."""

    def __call__(self, *, cursor: str | None) -> Awaitable[P]:
        """Ask for the part that begins at `cursor`."""
        ...


async def pages[P: Paged, T](
    fetch: Fetch[P], items: Callable[[P], Iterable[T]], max_pages: int = MAX_PAGES
) -> AsyncGenerator[T]:
    """Yield every item of a list, asking for parts as they are needed.

        async for tenant in pages(hub.tenants.list, lambda page: page.tenants): ...

    Args:
        fetch: asks for one part.
        items: returns the items of a part.
        max_pages: how many parts there may be.

    Raises:
        ProtocolError: MALFORMED where the hub's cursors lead nowhere.
    """
    cursor: str | None = None
    for _ in range(max_pages):
        page = await fetch(cursor=cursor)
        for item in items(page):
            yield item
        if page.next_cursor is None:
            return
        if page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    raise ProtocolError(Code.MALFORMED, "the hub's pages have no end")
