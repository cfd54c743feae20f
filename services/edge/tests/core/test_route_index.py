"""Index of routes: what is in it is found by every process that maps it, and a broken one is refused."""

import dataclasses
import itertools

import pytest

from towonel.edge.core.route_index import (
    HEAD_BYTES,
    SEED_BYTES,
    RouteIndex,
    decode_head,
    hash_key,
    read_key,
    tag_of,
)
from towonel.edge.core.route_index_writer import make_empty_index, plan_index, write_index
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route, TlsMode

SEED = bytes(range(SEED_BYTES))
ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
ROUTES = [
    Route(ServiceKind.HTTPS, "app.example.eu", ALICE),
    Route(ServiceKind.HTTPS, "*.example.eu", BOB, tls_mode=TlsMode.AGENT),
    Route(ServiceKind.HTTPS, "web.example.eu", BOB, tls_mode=TlsMode.TERMINATE),
    Route(ServiceKind.HTTPS, "h2.example.eu", BOB, tls_mode=TlsMode.TERMINATE, http2=True),
    Route(ServiceKind.TCP, "schlüssel dienst", ALICE, port=2222),
    Route(ServiceKind.UDP, "app.example.eu", BOB, port=65_535),
    Route(ServiceKind.HTTPS, "a.example.eu", BOB, clients=ClientNetworks(("192.0.2.0/24",))),
    Route(ServiceKind.TCP, "s", BOB, 99, clients=ClientNetworks((), ("::/0", "192.0.2.1/32"))),
]


def index_of(*routes: Route) -> RouteIndex:
    changes = {route.key: route for route in routes}
    before = make_empty_index(SEED)
    plan = plan_index(before, changes.items)
    memory = memoryview(bytearray(plan.size))
    return RouteIndex(memory[: write_index(memory, plan, before, changes.items, lambda: None)])


def colliding_keys() -> tuple[str, str]:
    """Two names with the same bits of their hash in a slot, and the same first slot of eight."""
    seen: dict[tuple[int, int], str] = {}
    for number in itertools.count():
        name = f"{number}.example.eu"
        hashed = hash_key(SEED, f"https:{name}")
        other = seen.setdefault((tag_of(hashed), hashed & 7), name)
        if other != name:
            return other, name
    raise AssertionError


def test_a_record_has_the_key_of_its_route() -> None:
    for route in ROUTES:
        index = index_of(route)
        (place,) = index.places()
        assert read_key(index.data, place) == route.key


def test_every_route_is_found_as_it_was() -> None:
    index = index_of(*ROUTES)

    assert len(index) == len(ROUTES)
    assert [index.find(route.key) for route in ROUTES] == ROUTES
    assert [index.search(route.key) for route in ROUTES] == ROUTES
    assert sorted(route.key for route in index.routes()) == sorted(route.key for route in ROUTES)


@pytest.mark.parametrize("key", ["https:x.example.eu", "https:app.example.e", "tcp:2223", ""])
def test_what_is_not_in_it_is_not_found(key: str) -> None:
    assert index_of(*ROUTES).find(key) is None
    assert make_empty_index(SEED).find(key) is None


def test_names_that_meet_in_a_slot_with_the_same_bits_are_told_apart() -> None:
    one, other = colliding_keys()
    first, second = Route(ServiceKind.HTTPS, one, ALICE), Route(ServiceKind.HTTPS, other, BOB)

    assert index_of(first, second).find(second.key) == second
    assert index_of(second, first).find(second.key) == second
    assert index_of(first).find(second.key) is None


def test_the_hash_depends_on_a_seed_that_tenants_do_not_know() -> None:
    assert hash_key(SEED, "https:app.example.eu") != hash_key(bytes(16), "https:app.example.eu")


def broken(*, slot_bits: int = 4, count: int = len(ROUTES)) -> memoryview:
    data = bytearray(index_of(*ROUTES).data)
    head = decode_head(memoryview(data))
    assert head.count == len(ROUTES)
    head = dataclasses.replace(head, slot_bits=slot_bits, count=count)
    data[:HEAD_BYTES] = head.encode()
    return memoryview(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (memoryview(b""), "not an index"),
        (memoryview(bytes(HEAD_BYTES)), "not an index"),
        (index_of(*ROUTES).data[:-1], "bytes has"),
        (memoryview(bytes(index_of(*ROUTES).data) + b"\0"), "bytes has"),
        (broken(slot_bits=33), "2**33 slots"),
        (broken(slot_bits=20), "2**20 slots"),
        (broken(slot_bits=3), "8 slots taken"),
        (broken(count=9), "8 slots taken"),
    ],
)
def test_a_broken_index_is_refused(data: memoryview, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        RouteIndex(data)

    assert caught.value.code is Code.MALFORMED
    assert says in caught.value.detail


def test_an_index_of_another_version_is_refused() -> None:
    data = bytearray(index_of(*ROUTES).data)
    data[16] = 4

    with pytest.raises(ProtocolError) as caught:
        RouteIndex(memoryview(data))

    assert caught.value.code is Code.UNSUPPORTED_VERSION
    assert caught.value.detail == "index of routes of version 4, not 3"
