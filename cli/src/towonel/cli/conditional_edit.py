"""Conditional edits: refused if the same resource was changed meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from towonel.client.transport import Tagged
from towonel.wire.errors import Code, Denied

Force = Annotated[bool, typer.Option("--force", help="Change it even if it was changed meanwhile.")]


async def send_edit[M](
    send: Callable[[str | None], Awaitable[Tagged[M]]], etag: str | None, *, force: bool
) -> M:
    """Send an edit of a resource that had this ETag, and return the resource as it is now.

    Args:
        send: sends the edit with the `If-Match` that it is given.
        etag: of the resource that was read.
        force: send it without a condition.

    Raises:
        Denied: PRECONDITION_FAILED it was changed since it was read.
    """
    try:
        return (await send(None if force else etag)).value
    except Denied as error:
        if error.code is not Code.PRECONDITION_FAILED:
            raise
        detail = "somebody else changed it just now: look at it with `show`, and edit it again"
        raise Denied(error.code, f"{detail}; or add --force") from error
