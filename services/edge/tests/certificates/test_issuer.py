"""Issuer: what is ordered, when, and what keeps an order from being made."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog.testing
import trustme
from support.issuing import NAME, NOW, TENANT, Place
from support.tunnel import until

from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.history import read_history
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.wire.names import Hostname

type Counted = Callable[..., float]


async def test_many_clients_of_a_name_cause_one_order(place: Place, issuer: Issuer) -> None:
    place.may_end.clear()
    for number in range(50):
        place.store.want(NAME, f"192.0.2.{number}")
    await until(lambda: place.orders == [NAME])
    place.may_end.set()
    await until(lambda: place.loaded() == [NAME])
    place.store.want(NAME, "192.0.2.1")

    assert place.orders == [NAME]
    assert place.loaded() == [NAME, NAME]  # for the worker that had not heard of it


async def test_a_name_that_nobody_serves_here_is_not_ordered(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    place.store.want(Hostname("google.example"), "192.0.2.1")
    issuer.consider([Hostname("google.example")])
    await until(lambda: bool(place.refusals()))

    assert place.refusals() == ["no agent publishes it with terminate"]
    assert place.orders == []
    assert counted("certificate_orders_total", result="refused") == 1


async def test_without_an_authority_clients_are_told_so(place: Place) -> None:
    place.store.want(NAME, "192.0.2.1")

    assert place.refusals() == ["there are no files of it, and no authority is asked"]


async def test_a_failure_is_told_and_waits_longer_each_time_even_over_a_restart(
    place: Place, counted: Counted
) -> None:
    place.failure = OrderError("caa: forbidden")
    async with place.make(eager=False).run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.refusals() == ["caa: forbidden"])
        place.store.want(NAME, "192.0.2.1")
    async with place.make(eager=False).run():
        place.store.want(NAME, "192.0.2.1")
        place.now += timedelta(minutes=6)
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.refusals()[-1] == "caa: forbidden")

    assert place.orders == [NAME, NAME]
    assert all("caa: forbidden; tried again at " in each for each in place.refusals()[1:3])
    assert read_history(place.folder, NAME).failures == 2
    assert counted("certificate_orders_total", result="failed") == 2


async def test_a_bug_of_the_library_is_a_failure_of_the_name(place: Place, issuer: Issuer) -> None:
    place.failure = ZeroDivisionError("of the library")
    with structlog.testing.capture_logs() as logs:
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: bool(place.refusals()))

    assert place.refusals() == ["ZeroDivisionError: of the library"]
    assert logs[-1]["event"] == "certificate.order_failed"


async def test_a_certificate_is_renewed_in_time_and_once(place: Place, issuer: Issuer) -> None:
    issuer.consider([NAME])
    await until(lambda: place.loaded() == [NAME])
    place.now += timedelta(days=50)
    await asyncio.sleep(0)
    before = list(place.orders)
    place.now += timedelta(days=10)
    await until(lambda: len(place.loaded()) == 2)
    place.tenants.clear()

    assert before == [NAME]
    assert place.orders == [NAME, NAME]
    assert place.replaced[0] is None
    assert place.replaced[1] is not None  # the one whose place it takes


async def test_a_clock_that_goes_wrong_causes_no_orders_without_end(
    place: Place, issuer: Issuer
) -> None:
    issuer.consider([NAME])
    await until(lambda: place.loaded() == [NAME])
    place.begins = -timedelta(days=80)  # as if the clock were ahead by as much
    place.now += timedelta(days=80)
    await until(lambda: len(place.loaded()) == 2)
    other = place.publish(["other.example.eu"])
    issuer.consider(other)
    await until(lambda: place.loaded().count(other[0]) == 1)

    assert place.orders == [NAME, NAME, *other]


async def test_a_certificate_that_has_ended_by_this_clock_is_a_failure_that_says_so(
    place: Place, issuer: Issuer
) -> None:
    place.begins = -timedelta(days=10 * 365)
    place.store.want(NAME, "192.0.2.1")
    await until(lambda: bool(place.refusals()))

    assert "the clock is wrong" in place.refusals()[0]
    assert read_history(place.folder, NAME).failures == 1
    assert place.loaded() == []


async def test_a_clock_that_is_behind_serves_what_is_not_yet_valid_and_says_so(
    place: Place, issuer: Issuer
) -> None:
    place.begins = timedelta(days=10 * 365)
    with structlog.testing.capture_logs() as logs:
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.loaded() == [NAME])

    assert "certificate.not_yet_valid" in [each["event"] for each in logs]


async def test_a_failure_of_a_time_when_the_clock_was_ahead_is_forgotten(place: Place) -> None:
    place.failure = OrderError("no answer")
    place.now += timedelta(days=3650)
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: len(place.refusals()) == 1)
    place.failure, place.now = None, NOW
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.loaded() == [NAME])


async def test_one_that_was_put_there_by_hand_is_not_renewed(
    place: Place, authority: trustme.CA
) -> None:
    place.folder.mkdir(0o700)
    issued = authority.issue_cert(NAME, not_after=NOW + timedelta(days=1))
    issued.private_key_pem.write_to_path(str(place.folder / f"{NAME}.key"))
    (place.folder / f"{NAME}.key").chmod(0o600)
    issued.cert_chain_pems[0].write_to_path(str(place.folder / f"{NAME}.crt"))
    await place.store.load(place.folder)
    issuer = place.make()
    async with issuer.run(look_s=0.01):
        issuer.consider([NAME])
        other = Hostname("other.example.eu")
        place.tenants[other] = TENANT
        issuer.consider([other])
        await until(lambda: place.orders == [other])


async def test_a_folder_that_cannot_be_written_to_causes_no_order(
    place: Place, issuer: Issuer
) -> None:
    place.folder.parent.joinpath("certs").write_text("a file")
    place.store.want(NAME, "192.0.2.1")
    await until(lambda: bool(place.refusals()))

    assert place.orders == []


async def test_orders_under_way_keep_the_edge_from_nothing(place: Place) -> None:
    place.may_end.clear()
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.orders == [NAME])
    place.may_end.set()

    assert place.loaded() == []
