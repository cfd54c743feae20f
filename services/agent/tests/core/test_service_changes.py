"""Changes of services: what is new, what differs, what ends, and what is served meanwhile."""

import json
from dataclasses import replace

from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.service_changes import ServiceChanges, compare_services, merge_services
from towonel.agent.core.services import MAX_SERVICES, Service
from towonel.agent.core.tcp_services import parse_tcp_services
from towonel.agent.core.tls.origin_tls import OriginTls


def services(*items: tuple[str, int]) -> tuple[Service, ...]:
    entries = (f'{{"hostname": "{name}", "origin": "127.0.0.1:{port}"}}' for name, port in items)
    return parse_https_services(f"[{', '.join(entries)}]")


BEFORE = services(("same.eu", 1), ("moved.eu", 1), ("old.eu", 1))
AFTER = services(("new.eu", 1), ("moved.eu", 2), ("same.eu", 1))


def test_changes_are_named_by_what_they_are() -> None:
    assert compare_services(BEFORE, AFTER) == ServiceChanges(
        added=("https:new.eu",), changed=("https:moved.eu",), removed=("https:old.eu",)
    )
    assert compare_services(BEFORE, BEFORE[::-1]) == ServiceChanges((), (), ())


def test_the_hub_is_to_know_of_names_and_ports_and_of_nothing_else() -> None:
    def changes(**fields: object) -> ServiceChanges:
        before, after = (
            {"name": "ssh", "origin": "a:1", "listen_port": 1} | each for each in ({}, fields)
        )
        return compare_services(
            *(parse_tcp_services(json.dumps([each])) for each in (before, after))
        )

    ranges = '[{{"name": "g", "origin": "a", "listen_port_range": [10, {}]}}]'
    assert changes(listen_port="auto").moved == changes(listen_port=2).moved == ("tcp:ssh",)
    assert changes(listen_port=2).are_public
    assert changes(name="x") == ServiceChanges(("tcp:x",), (), ("tcp:ssh",))
    assert changes(name="x").are_public
    assert changes(origin="b:1") == ServiceChanges((), ("tcp:ssh",), ())
    assert not changes(origin="b:1").are_public
    assert not changes(proxy_protocol="v2", idle_timeout_secs=5).are_public
    assert changes(idle_timeout_secs=5).changed == ("tcp:ssh",)
    assert compare_services(*map(parse_tcp_services, map(ranges.format, (12, 13)))).are_public
    assert changes(deny_cidrs=["192.0.2.1"]).are_public
    assert not changes(allow_cidrs=[]).are_public


def test_the_hub_is_to_know_where_tls_ends() -> None:
    before, after = (
        parse_https_services(f'[{{"hostname": "a.eu", "origin": "a:1", "tls_mode": "{mode}"}}]')
        for mode in ("passthrough", "terminate")
    )
    faster = [replace(service, http2=True) for service in after]
    inside = [replace(each, origin=replace(each.origin, tls=OriginTls("b"))) for each in after]

    assert compare_services(before, after).moved == ("https:a.eu",)
    assert compare_services(after, faster).moved == ("https:a.eu",)
    assert compare_services(after, inside).changed == ("https:a.eu",)
    assert not compare_services(after, inside).are_public


def test_until_a_change_is_published_both_are_served_with_the_new_origins() -> None:
    merged = {service.key.name: service.origin.port for service in merge_services(BEFORE, AFTER)}

    assert merged == {"same.eu": 1, "moved.eu": 2, "old.eu": 1, "new.eu": 1}


def test_more_than_an_edge_takes_are_not_served_together() -> None:
    many = services(*((f"n{number}.eu", 1) for number in range(MAX_SERVICES)))
    long = services(*((f"{'x' * 60}.{'y' * 60}.n{number}.eu", 1) for number in range(440)))

    assert merge_services(BEFORE, many) == many
    assert merge_services(long, many[:100]) == many[:100]
    assert len(merge_services(BEFORE, many[: MAX_SERVICES - 3])) == MAX_SERVICES
