"""End of a link: whether the clients of its lanes go on."""

from typing import Final

from towonel.wire.errors import Code

_OF_THE_RIGHT: Final = frozenset(
    {Code.TENANT_REVOKED, Code.TENANT_SUSPENDED, Code.GRANT_EXPIRED, Code.GRANT_INVALID}
)


def find_cut(code: Code | None) -> Code | None:
    """Return the code to cut clients off with; None where they go on, since only the link was lost.

    Args:
        code: of the link's end; None where this agent ends it.
    """
    if code is None:
        return Code.CANCELLED
    return code if code in _OF_THE_RIGHT else None
