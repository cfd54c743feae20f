"""Table of an agent's origins: a client finds those of the environment, for the names they cover."""

from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from towonel.agent.core.origin_table import OriginTable, pick_port
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

ADDRESS = Address(ip_address("192.0.2.1"), 1)
APP, WILD = "app.example.eu", "*.wild.eu"
GAME = ServiceKey(ServiceKind.UDP, "game")


@dataclass(frozen=True)
class NamedOrigin:
    """Origin that a test knows by its name."""

    name: str
    ports: tuple[int, int] | None = None


RANGE = NamedOrigin("game", (10, 12))
TABLE = OriginTable(
    {
        **{ServiceKey(ServiceKind.HTTPS, name): NamedOrigin(name) for name in (APP, WILD)},
        GAME: RANGE,
    }
)


def find(service: str, authority: str | None, kind: ServiceKind = ServiceKind.HTTPS) -> str | None:
    name = Hostname(authority) if authority else None
    found = TABLE.find(Preamble(ADDRESS, ADDRESS, ServiceKey(kind, service), name))
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("service", "authority", "origin"),
    [
        (APP, APP, APP),
        (APP, None, APP),
        (APP, "other.example.eu", None),
        (WILD, "a.wild.eu", WILD),
        (WILD, "a.b.wild.eu", None),
        (WILD, "wild.eu", None),
        ("unknown.eu", "unknown.eu", None),
    ],
)
def test_only_services_of_the_environment_are_found_and_for_the_names_they_cover(
    service: str, authority: str | None, origin: str | None
) -> None:
    assert find(service, authority) == origin


def test_a_service_of_another_kind_is_not_found_by_its_name() -> None:
    assert find(APP, None, ServiceKind.TCP) is None


@pytest.mark.parametrize(
    ("port", "is_served"), [(9, False), (10, True), (12, True), (13, False), (None, False)]
)
def test_a_range_is_for_clients_of_its_ports_only(port: int | None, *, is_served: bool) -> None:
    opened = Preamble(ADDRESS, ADDRESS, GAME, port=port)

    assert TABLE.find(opened) == (RANGE if is_served else None)


def test_a_client_of_a_range_gets_the_port_that_it_used_and_any_other_the_origins() -> None:
    opened, older = (Preamble(ADDRESS, ADDRESS, GAME, port=port) for port in (11, None))
    single = NamedOrigin("game")

    assert pick_port(("192.0.2.7", 10), RANGE, opened) == ("192.0.2.7", 11)
    assert pick_port(("fe80::1", 10, 0, 2), RANGE, opened) == ("fe80::1", 11, 0, 2)
    assert pick_port(("192.0.2.7", 53), single, opened) == ("192.0.2.7", 53)
    assert pick_port(("192.0.2.7", 10), RANGE, older) == ("192.0.2.7", 10)
