"""Edits that tell where somebody else changed the same thing meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from towonel.client.transport import Tagged
from towonel.wire.errors import Code, Denied

Force = Annotated[
    bool, typer.Option("--force", help="Change it also where somebody else just did.")
]


async def send_edit[M](
    send: Callable[[str | None], Awaitable[Tagged[M]]], etag: str | None, *, force: bool
) -> M:
    """Send an edit of what was read with this ETag, and return what there is now.

    Args:
        send: sends it, under the condition that it is given.
        etag: of what the edit was made from.
        force: send it without any condition.

    Raises:
        Denied: PRECONDITION_FAILED where it was changed since it was read.
    """
    try:
        return (await send(None if force else etag)).value
    except Denied as error:
        if error.code is not Code.PRECONDITION_FAILED:
            raise
        detail = "somebody else changed it just now: look at it with `show`, and edit it again"
        raise Denied(error.code, f"{detail}; or add --force") from error
