"""Queue of the issuer: clients go first, and two processes with one folder order a name once."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from support.issuing import NAME, Place
from support.tunnel import until

from towonel.edge.certificates.acme import issuer as issuing
from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.acme.order_lock import hold_order
from towonel.edge.certificates.store import CertificateStore
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

type Counted = Callable[..., float]

FREE = issuing.MAX_ORDERS - issuing.RESERVED_ORDERS  # for names that nobody waits for


async def test_a_client_is_served_while_many_names_wait_that_nobody_asks_for(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    place.may_end.clear()
    names = place.publish(f"n{number}.example.eu" for number in range(40))
    issuer.consider(names)
    await until(lambda: len(place.orders) == FREE)
    place.store.want(NAME, "192.0.2.1")
    place.store.want(names[30], "192.0.2.1")
    place.store.want(names[20], "192.0.2.1")
    await until(lambda: len(place.orders) == issuing.MAX_ORDERS)

    assert set(place.orders[FREE:]) == {NAME, names[30]}
    assert counted("certificate_orders_queued") == 40 + 1 - issuing.MAX_ORDERS
    place.may_end.set()
    await until(lambda: len(place.loaded()) == 41)
    assert place.orders.index(names[20]) < 2 * issuing.MAX_ORDERS
    assert len(set(place.orders)) == len(place.orders)


async def test_many_names_asked_for_at_once_are_ordered_once_each(
    place: Place, issuer: Issuer
) -> None:
    names = place.publish(f"n{number}.example.eu" for number in range(50))
    issuer.consider(names)
    for number, name in enumerate(names):
        place.store.want(name, f"192.0.2.{number}")
    await until(lambda: len(place.loaded()) == 50)

    assert sorted(place.orders) == sorted(names)


async def test_clients_of_more_names_than_there_is_room_for_are_told(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    place.may_end.clear()
    room = issuing.MAX_ORDERS + issuing.MAX_QUEUED // 2  # of one tenant
    names = place.publish(f"n{number}.example.eu" for number in range(room + 1))
    for number, name in enumerate(names):
        place.store.want(name, f"{number}")

    assert place.refusals() == ["as many certificates are ordered as can be"]
    assert counted("certificate_orders_refused_total", reason="queue_full") == 1
    place.failure = OrderError("over")
    place.may_end.set()


async def test_a_name_that_another_process_orders_is_taken_over_from_it(
    place: Place, issuer: Issuer
) -> None:
    other = CertificateStore(lambda _: None)
    async with hold_order(place.folder, NAME):
        place.store.want(NAME, "192.0.2.1")
        await other.put(place.folder, NAME, *place.order(NAME, lambda _: None, None))
    await until(lambda: place.loaded() == [NAME])

    assert place.orders == [NAME]  # of that process
    assert list(place.folder.glob("*.lock")) == []


async def test_a_name_that_another_process_has_ordered_meanwhile_is_not_ordered_again(
    place: Place, issuer: Issuer
) -> None:
    other = CertificateStore(lambda _: None)
    await other.put(place.folder, NAME, *place.order(NAME, lambda _: None, None))
    place.store.want(NAME, "192.0.2.1")
    await until(lambda: place.loaded() == [NAME])

    assert place.orders == [NAME]  # of that process


async def test_of_two_issuers_with_one_folder_one_orders_at_a_time(
    place: Place, issuer: Issuer
) -> None:
    second = Place(place.folder, place.authority, place.metrics)
    second.make()
    assert isinstance(second.store.source, Issuer)
    place.may_end.clear()
    async with second.store.source.run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.orders == [NAME])
        second.store.want(NAME, "192.0.2.1")
        place.may_end.set()
        await until(lambda: second.loaded() == [NAME])

    assert second.orders == []


async def test_what_a_process_has_ordered_that_is_gone_the_next_one_renews(
    place: Place, issuer: Issuer
) -> None:
    second = Place(place.folder, place.authority, place.metrics)
    async with second.make().run():
        second.store.want(NAME, "192.0.2.1")
        await until(lambda: second.loaded() == [NAME])
    await place.store.load(place.folder)
    place.now += timedelta(days=61)
    await until(lambda: place.orders == [NAME])


async def test_a_name_that_appears_is_looked_at_without_all_others(place: Place) -> None:
    [other] = place.publish(["other.example.eu"])
    issuer = place.make()
    async with issuer.run(look_s=30):
        issuer.consider([NAME])
        await until(lambda: place.loaded() == [NAME])
        place.now += timedelta(days=61)  # when it is to be renewed
        issuer.consider([other])
        await until(lambda: place.loaded() == [NAME, other])

    assert place.orders == [NAME, other]


async def test_a_tenant_whose_names_take_long_keeps_no_other_waiting(place: Place) -> None:
    slow = place.publish(f"n{number}.slow.example" for number in range(2 * issuing.MAX_ORDERS))
    place.tenants[NAME] = TenantId(b"o" * 32)
    may_end = asyncio.Event()

    async def check(name: Hostname) -> None:
        if name != NAME and name != slow[0]:
            await may_end.wait()  # for its name servers

    async with place.make(check=check, eager=False).run():
        for number, name in enumerate([*slow, NAME]):
            place.store.want(name, f"{number}")
        await until(lambda: NAME in place.loaded())

    assert place.orders == [slow[0], NAME]
