"""Table of an agent's origins: a client finds those of the environment, for the names they cover."""

from ipaddress import ip_address

import pytest

from towonel.agent.core.origin_table import OriginTable
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

ADDRESS = Address(ip_address("192.0.2.1"), 1)
APP, WILD = "app.example.eu", "*.wild.eu"
TABLE = OriginTable({ServiceKey(ServiceKind.HTTPS, name): name for name in (APP, WILD)})


def find(service: str, authority: str | None, kind: ServiceKind = ServiceKind.HTTPS) -> str | None:
    name = Hostname(authority) if authority else None
    return TABLE.find(Preamble(ADDRESS, ADDRESS, ServiceKey(kind, service), name))


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
