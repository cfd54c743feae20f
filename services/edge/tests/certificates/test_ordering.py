"""Ordering of one certificate: it has an end, and what its thread does afterwards has no effect."""

import threading
from collections.abc import Callable

import pytest
from support.issuing import NAME, Place
from support.tunnel import until

from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.certificates.acme.ordering import Ordering
from towonel.edge.certificates.acme.refused_names import MAX_NAMES, RefusedNames
from towonel.edge.core.certificates.issuance import Refusal
from towonel.edge.worker.termination.messages import ChallengeChanged
from towonel.wire.names import Hostname


async def test_an_order_that_takes_too_long_fails_and_its_thread_shows_nothing_more(
    place: Place,
) -> None:
    may_end, ended, went_on = threading.Event(), threading.Event(), threading.Event()

    def order(name: str, present: Callable[[bytes], None], _: bytes | None) -> tuple[bytes, bytes]:
        present(b"in time")
        may_end.wait(20)
        try:
            present(b"too late")
        finally:
            ended.set()
        went_on.set()
        raise OrderError("over")

    ordering = Ordering(order, place.store, place.folder, lambda: place.now, order_s=0.2)
    with pytest.raises(OrderError, match=r"took longer than 0\.2 s"):
        await ordering.fetch(NAME, None)
    may_end.set()
    await until(ended.is_set)

    assert place.sent == [ChallengeChanged(NAME, b"in time"), ChallengeChanged(NAME, b"")]
    assert not went_on.wait(0.1)


def test_names_that_were_refused_are_remembered_for_a_time_and_not_without_end() -> None:
    now_s = 100.0
    names = RefusedNames(lambda: now_s)
    refused = OrderRefused(Refusal.ELSEWHERE, "elsewhere")

    assert names.add(NAME, refused)
    assert not names.add(NAME, refused)
    with pytest.raises(OrderRefused, match="elsewhere"):
        names.check(NAME, 10.0)
    now_s += 10
    names.check(NAME, 10.0)
    for number in range(MAX_NAMES):
        names.add(Hostname(f"n{number}.example.eu"), refused)
    assert names.add(NAME, refused)
