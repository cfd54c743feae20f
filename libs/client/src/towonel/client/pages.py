"""Walk a list that comes in pages, one item after the other."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Protocol

from towonel.wire.errors import Code, ProtocolError

MAX_PAGES = 100_000  # a hub that never comes to an end is broken


class Paged(Protocol):
    """Part of a list: any answer of a `list_…` method."""

    @property
    def next_cursor(self) -> str | None:
        """What asks for the next part; None at the end."""
        ...


class Fetch[P](Protocol):
    """A `list_…` method, its filters bound: `partial(hub.agents.list, tenant_id=…)`."""

    def __call__(self, *, cursor: str | None) -> Awaitable[P]:
        """Ask for the part that begins at `cursor`."""
        ...


async def pages[P: Paged, T](
    fetch: Fetch[P], items: Callable[[P], Iterable[T]]
) -> AsyncGenerator[T]:
    """Yield every item of a list, asking for parts as they are needed.

        async for tenant in pages(hub.tenants.list, lambda page: page.tenants): ...

    Args:
        fetch: asks for one part.
        items: what of a part is wanted.

    Raises:
        ProtocolError: MALFORMED where the hub's cursors lead nowhere.
    """
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await fetch(cursor=cursor)
        for item in items(page):
            yield item
        if page.next_cursor is None:
            return
        if page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    raise ProtocolError(Code.MALFORMED, "the hub's pages have no end")
