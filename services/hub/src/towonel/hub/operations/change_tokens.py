"""Tokens of a tenant's rate of route changes: taken before the write that uses them, never in it.

Redis, which counts them, may be slow, and while a write waits for it every other one does.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from towonel.hub.context import Hub
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId


@dataclass(slots=True)
class ChangeTokens:
    """Tokens for the changes of one write.

    Args:
        taken: how many there are.
        refusal: why there are none; a write that changes nothing, as a sibling has, needs none.
        used: by the write.
    """

    taken: int = 0
    refusal: Unavailable | None = None
    used: int = 0

    def use(self, count: int) -> None:
        """Use tokens.

        Raises:
            Unavailable: RATE_LIMITED if there are too few, also as others changed the routes meanwhile.
        """
        if count > self.taken:
            raise self.refusal or Unavailable(
                Code.RATE_LIMITED,
                "another request changed these routes meanwhile; ask again",
                retry_after_s=1,
            )
        self.used = count


@contextlib.asynccontextmanager
async def take_changes(hub: Hub, tenant_id: TenantId, count: int) -> AsyncGenerator[ChangeTokens]:
    """Take the tokens of a write inside this context; those it does not use are given back.

    A write that fails has used none: its retry is not counted twice.
    """
    key, rate, tokens = f"changes:{tenant_id.hex()}", hub.policy.route_changes, ChangeTokens()
    try:
        if count:
            await hub.limiter.take(key, rate, count)
            tokens.taken = count
    except Unavailable as error:
        tokens.refusal = error
    try:
        yield tokens
    except BaseException:
        tokens.used = 0
        raise
    finally:
        left = min(tokens.taken, rate.burst) - min(tokens.used, rate.burst)
        if left:
            await hub.limiter.give_back(key, rate, left)
