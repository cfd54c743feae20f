"""Fields of a service that say how its origin is checked, and whether clients stay with one agent."""

import json

import pytest

from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.services import Service, describe_service
from towonel.agent.core.tcp_services import parse_tcp_services
from towonel.agent.core.udp_services import parse_udp_services

WEB = {"hostname": "app.example.eu", "origin": "127.0.0.1:4443"}


def read(**fields: object) -> Service:
    return parse_https_services(json.dumps([{**WEB, **fields}]))[0]


def refuse(**fields: object) -> str:
    with pytest.raises(ValueError, match=r"check|affinity") as caught:
        read(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "check"),
    [
        (None, None),
        ("tcp", OriginCheck(CheckKind.TCP)),
        ("tls", OriginCheck(CheckKind.TLS)),
        ("http", OriginCheck(CheckKind.HTTP)),
        ("https:/ok?a=1", OriginCheck(CheckKind.HTTPS, "/ok?a=1")),
        ({"type": "http", "path": "/"}, OriginCheck(CheckKind.HTTP)),
        (
            {
                "type": "tcp",
                "origin": "h:80",
                "interval_secs": 9,
                "timeout_secs": 8,
                "rise": 7,
                "fall": 6,
            },
            OriginCheck(CheckKind.TCP, "/", ("h", 80), 9, 8, 7, 6),
        ),
    ],
)
def test_a_check_is_read_from_a_word_or_from_its_fields(
    value: object, check: OriginCheck | None
) -> None:
    assert read(check=value).check == check


def test_services_of_every_kind_have_a_check_and_an_affinity() -> None:
    ports = {"name": "dns", "origin": "127.0.0.1:53", "listen_port": 5353}
    text = json.dumps([{**ports, "check": "tcp", "affinity": "client"}])
    found = (
        *parse_tcp_services(text),
        *parse_udp_services(text),
        read(check="tcp", affinity="client"),
    )

    assert [(each.check, each.is_sticky) for each in found] == [
        (OriginCheck(CheckKind.TCP), True)
    ] * 3
    assert describe_service(found[2]).endswith(
        "checked by tcp every 5 s, clients stay with one agent"
    )


@pytest.mark.parametrize("value", [None, "none"])
def test_clients_stay_with_no_agent_unless_that_is_asked_for(value: str | None) -> None:
    assert not read(**({} if value is None else {"affinity": value})).is_sticky


@pytest.mark.parametrize(
    ("value", "field", "rule"),
    [
        (1, "check", "must be a check, as in"),
        ("icmp", "check.type", "must be one of tcp, tls, http, https, not 'icmp'"),
        ({}, "check.type", "must be one of"),
        ("tcp:/x", "check.path", "is for checks of http and https, not of tcp"),
        ("http:x", "check.path", "must begin with /"),
        ("http:/a b", "check.path", "must begin with /"),
        ({"type": "http", "path": 1}, "check.path", "must begin with /"),
        ({"type": "tcp", "every": 1}, "check.every", "unknown field; there are type"),
        ({"type": "tcp", "origin": "h"}, "check.origin", "must be host:port"),
        ({"type": "tcp", "interval_secs": 0}, "check.interval_secs", "from 1 to 3600"),
        ({"type": "tcp", "timeout_secs": 61}, "check.timeout_secs", "from 1 to 60"),
        ({"type": "tcp", "rise": 0}, "check.rise", "from 1 to 100"),
        ({"type": "tcp", "fall": "2"}, "check.fall", "from 1 to 100"),
    ],
)
def test_a_check_that_breaks_a_rule_names_field_and_rule(
    value: object, field: str, rule: str
) -> None:
    line = refuse(check=value)

    assert f"[0] (app.example.eu).{field}: " in line
    assert rule in line


def test_an_affinity_to_anything_else_is_refused() -> None:
    assert 'affinity: must be "client" or "none", not \'cookie\'' in refuse(affinity="cookie")
