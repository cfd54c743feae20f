"""Race of the addresses of one edge (RFC 8305), over QUIC.

Each address is tried soon after the one before it; the first from which anything comes is kept. What
comes first is QUIC's Retry, long before an agent says who it is: so the edge sees one session.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from towonel.tunnel.core.address_order import interleave
from towonel.tunnel.core.close_reason import CloseReason, to_error
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.wire.addresses import format_address
from towonel.wire.errors import Code, TowonelError

# An address with such a failure may be another machine's, or out of reach; with any other, it is the edge's.
_OF_THE_ADDRESS = frozenset(
    {Code.SESSION_LOST, Code.CERTIFICATE_MISMATCH, Code.EDGE_UNKNOWN, Code.INTERNAL}
)

type MakeLink = Callable[[], Link]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Link that is being opened to one address, and what ends it."""

    peer: Address
    link: Link
    exits: contextlib.ExitStack


async def open_any(
    peers: Iterable[Address], make_link: MakeLink, timing: Timing, exits: contextlib.ExitStack
) -> Link:
    """Return an open link to one of the addresses; `exits` closes it.

    Raises:
        TowonelError: as of `dial`; its detail names every address.
    """
    left, failures = interleave(peers), dict[str, str]()
    code = Code.SESSION_LOST
    while left:
        attempt = await _race(left, make_link, timing, failures)
        if attempt is None:
            break
        with contextlib.ExitStack() as on_failure:
            on_failure.push(attempt.exits)
            try:
                await attempt.link.wait_opened()
            except TowonelError as error:
                if error.code not in _OF_THE_ADDRESS:
                    raise
                code, failures[attempt.link.peer] = error.code, error.detail
                left.remove(attempt.peer)
                continue
            exits.push(on_failure.pop_all())
            return attempt.link
    detail = "; ".join(f"{peer}: {reason}" for peer, reason in failures.items())
    raise to_error(CloseReason(code, detail or "no address"))


async def _race(
    peers: list[Address], make_link: MakeLink, timing: Timing, failures: dict[str, str]
) -> _Attempt | None:
    """Return the first of the attempts that was answered, the others closed; None without one."""
    attempts: dict[asyncio.Future[None], _Attempt] = {}
    with contextlib.ExitStack() as exits:
        for peer in peers:
            try:
                attempt = _begin(peer, make_link())
            except OSError as error:  # no route
                failures[format_address(*peer[:2])] = error.strerror or str(error)
                continue
            exits.push(attempt.exits)
            attempts[attempt.link.answered] = attempt
            if winner := await _wait_answered(attempts, timing.address_delay_s):
                return winner
        if winner := await _wait_answered(attempts, timing.welcome_s):
            return winner
    silent = [attempt.link.peer for attempt in attempts.values()]
    reason = f"no answer within {timing.welcome_s:g} s: is UDP blocked?"
    failures.update(dict.fromkeys(silent, reason))
    return None


async def _wait_answered(
    attempts: dict[asyncio.Future[None], _Attempt], within_s: float
) -> _Attempt | None:
    """Return an attempt that was answered, which is the caller's to close; None if there is none."""
    if not attempts:
        return None
    answers, _ = await asyncio.wait(attempts, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for answer in answers:
        found = attempts[answer]
        return _Attempt(found.peer, found.link, found.exits.pop_all())
    return None


def _begin(peer: Address, link: Link) -> _Attempt:
    exits = contextlib.ExitStack()
    exits.enter_context(link.connect(peer))
    return _Attempt(peer, link, exits)
