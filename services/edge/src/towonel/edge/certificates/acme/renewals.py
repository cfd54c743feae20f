"""Renewal information (RFC 9773): when an authority wants certificates renewed, asked for one after the other."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from towonel.edge.certificates.acme.authority import OrderError, Suggestion
from towonel.edge.certificates.acme.threads import call_in_thread
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.core.certificates.issuance import Window
from towonel.wire.names import Hostname

LOOK_S: Final = 30.0
ANSWER_S: Final = 60.0
AFTER_FAILURE_S: Final = 6 * 3600.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()

type Suggest = Callable[[bytes], Suggestion]


@dataclass(frozen=True, slots=True)
class _Answer:
    """Answer about a certificate, until it is to be asked for again, by the monotonic clock."""

    certificate: Certificate
    window: Window | None
    until_s: float


class Renewals:
    """Renewal information of the certificates that were ordered here.

    Args:
        suggest: asks the authority, in a thread.
        find: yields these certificates.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        suggest: Suggest,
        find: Callable[[], Iterator[Certificate]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._suggest = suggest
        self._find = find
        self._clock = clock
        self._known: dict[Hostname, _Answer] = {}

    def find_window(self, certificate: Certificate) -> Window | None:
        """Return when the authority wants a certificate renewed, as far as it has said."""
        known = self._known.get(certificate.name)
        return known.window if known is not None and known.certificate == certificate else None

    async def follow(self, look_s: float = LOOK_S) -> None:
        """Ask for what is not known, or no longer, and look for that every so often."""
        while True:
            await self.ask()
            await asyncio.sleep(look_s)

    async def ask(self) -> None:
        """Ask for what is not known, until there is no answer: then the rest has its turn later."""
        now_s, certificates = self._clock(), {each.name: each for each in self._find()}
        self._known = {name: self._known[name] for name in self._known.keys() & certificates}
        for name, certificate in certificates.items():
            known = self._known.get(name)
            is_known = known is not None and known.certificate == certificate
            if is_known and known is not None and now_s < known.until_s:
                continue
            if not await self._ask_for(certificate):
                return

    async def _ask_for(self, certificate: Certificate) -> bool:
        """Ask for one, and return whether there is an answer; without one the last counts for its certificate."""
        name, window = certificate.name, self.find_window(certificate)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await call_in_thread(partial(self._suggest, certificate.pem))
        except (OrderError, TimeoutError) as error:
            log.info("certificate.renewal_unknown", name=name, reason=str(error))
            until_s = self._clock() + AFTER_FAILURE_S
            self._known[name] = _Answer(certificate, window, until_s)
            return False
        if answer.window is not None and answer.window != window:
            times = {"start": answer.window.start.isoformat(), "end": answer.window.end.isoformat()}
            log.info("certificate.renewal_suggested", name=name, **times)
        self._known[name] = _Answer(certificate, answer.window, self._clock() + answer.again_s)
        return True
