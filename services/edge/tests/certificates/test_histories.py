"""Histories of orders: which certificates were ordered here, as this process or another has written it down."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from support.issuing import NAME, NOW, Place
from support.tunnel import until

from towonel.edge.certificates.acme.histories import Histories
from towonel.edge.certificates.acme.history import OrderHistory, write_history
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.certificate import Certificate
from towonel.wire.names import Hostname

END = datetime(2027, 1, 1, tzinfo=UTC)


def has_loaded(place: Place, name: Hostname) -> bool:
    return name in place.loaded()


async def test_one_that_was_put_in_the_place_of_an_ordered_one_is_not_renewed(
    place: Place, issuer: Issuer
) -> None:
    issuer.consider([NAME])
    await until(lambda: place.loaded() == [NAME])
    end = place.now + timedelta(days=200)
    issued = place.authority.issue_cert(NAME, not_before=place.now, not_after=end)
    pair = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    await place.store.put(place.folder, NAME, *pair)
    place.now += timedelta(days=199)
    others = place.publish(f"n{number}.example.eu" for number in range(3))
    for other in others:
        issuer.consider([other])
        await until(partial(has_loaded, place, other))

    assert place.orders == [NAME, *others]


async def test_a_certificate_that_another_process_has_ordered_is_known(tmp_path: Path) -> None:
    histories = Histories(tmp_path, lambda: NOW)
    await histories.store_issued(NAME, END)
    later = Certificate(NAME, b"", NOW, END + timedelta(days=90), "test", True, "01")
    await histories.learn([later])
    by_hand = histories.is_ours(later)
    history = OrderHistory(issued=True, ends_at=later.not_after.timestamp())
    write_history(tmp_path, NAME, history)
    await histories.learn([later])

    assert not by_hand
    assert histories.is_ours(later)
    assert histories.get(NAME) == history


async def test_names_that_failed_long_ago_are_forgotten_with_their_files(tmp_path: Path) -> None:
    days = dict.fromkeys(("old.eu", "new.eu", "had.eu", "ahead.eu"), timedelta(days=8))
    days |= {"new.eu": timedelta(days=6), "ahead.eu": timedelta(days=-8)}
    for name, ago in days.items():
        first_at = 1.0 if name == "had.eu" else 0.0
        history = OrderHistory(False, 3, (NOW - ago).timestamp(), "caa", first_at)
        write_history(tmp_path, Hostname(name), history)
    histories = Histories(tmp_path, lambda: NOW)
    await histories.load()
    for _ in range(2):
        await histories.forget_old()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["had.eu.acme", "new.eu.acme"]
    assert histories.get(Hostname("old.eu")).failures == 0
    assert histories.get(Hostname("new.eu")).failures == 3
