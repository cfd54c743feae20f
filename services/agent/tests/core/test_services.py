"""Services: how many a session takes, what services of ports may not be beside others, and the origin of each."""

from dataclasses import replace
from ipaddress import ip_address

from towonel.agent.core.services import (
    MAX_SERVICES,
    Origin,
    ProxyProtocol,
    PublicPort,
    Service,
    can_be_announced,
    describe_service,
    find_conflicts,
    find_excess,
    select_flows,
    select_streams,
    tabulate_origins,
)
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.wire.messages import Hello, encode
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

ORIGIN = Origin("127.0.0.1", 8443, ProxyProtocol.V2)
ADDRESS = Address(ip_address("192.0.2.1"), 1)


def https(name: str, origin: Origin = ORIGIN) -> Service:
    return Service(ServiceKey(ServiceKind.HTTPS, name), origin)


def tcp(name: str, port: PublicPort = 2222, origin: Origin = ORIGIN) -> Service:
    return Service(ServiceKey(ServiceKind.TCP, name), origin, port=port)


def udp(name: str, port: PublicPort = 5353) -> Service:
    origin = Origin("127.0.0.1", 53, ProxyProtocol.NONE, 60, 4096)
    return Service(ServiceKey(ServiceKind.UDP, name), origin, port=port)


def test_origins_are_shown_as_people_write_them() -> None:
    assert str(Origin("::1", 1, ProxyProtocol.NONE)) == "[::1]:1"
    assert str(Origin("web", 80, ProxyProtocol.NONE)) == "web:80"
    assert str(Origin("fd00::7", 10, ProxyProtocol.NONE, last_port=12)) == "[fd00::7]:10-12"


def test_the_table_of_services_has_the_origin_of_each() -> None:
    service, other = https("app.eu"), tcp("app", origin=Origin("127.0.0.1", 9, ProxyProtocol.NONE))
    table = tabulate_origins([service, other])

    assert table.find(Preamble(ADDRESS, ADDRESS, service.key)) == service.origin
    assert table.find(Preamble(ADDRESS, ADDRESS, other.key)) == other.origin


def test_a_udp_service_is_none_of_those_whose_clients_connect() -> None:
    dns, same_name = udp("dns"), tcp("dns")
    table = tabulate_origins([dns, same_name])

    assert select_streams([dns, same_name, https("a.eu")]) == (same_name, https("a.eu"))
    assert select_flows([dns, same_name, https("a.eu")]) == (dns,)
    assert table.find(Preamble(ADDRESS, ADDRESS, dns.key)) is None
    assert table.find(Preamble(ADDRESS, ADDRESS, same_name.key)) == same_name.origin


def test_a_session_takes_so_many_services_and_bytes_of_names() -> None:
    long = [https(f"{'x' * 60}.{'y' * 60}.n{number:03}.eu") for number in range(500)]
    hello = Hello(1, bytes(1024), tuple(each.key for each in long[:442]), bytes(64), "x" * 64)

    assert len(encode(hello)) > 60 * 1024
    assert can_be_announced(long[:442])
    assert not can_be_announced(long)
    assert not can_be_announced([tcp("n")] * (MAX_SERVICES + 1))
    assert not can_be_announced([tcp("é" * 32)] * (MAX_SERVICES - 100)), "bytes, not characters"


def test_a_service_of_a_port_is_not_called_as_a_hostname_is() -> None:
    web = [https("app.eu"), https("b.eu")]

    for ports in ([tcp("ssh"), tcp("App.eu")], [udp("ssh"), udp("App.eu")]):
        assert list(find_conflicts(web, ports)) == [
            "[1] (App.eu).name: is a hostname of an HTTPS service, too; give it another"
        ]
    assert not list(find_conflicts(web, [tcp("ssh")]))


def test_services_of_all_kinds_are_counted_together() -> None:
    half = MAX_SERVICES // 2
    some = [tcp(f"n{number}") for number in range(half)]
    more = [udp(f"n{number}") for number in range(half)]
    long = [tcp("x" * 60 + str(number)) for number in range(900)]

    assert find_excess([*some, *more]) is None
    assert find_excess([https("a.eu"), *some, *more]) == (
        "has too many services: 1001 of https, tcp and udp, at most 1000 are taken; use two groups"
    )
    assert find_excess(long) == (
        "has names that are too long in all: at most 60 KiB are taken; shorten them, or use two groups"
    )


def test_where_challenges_go_is_described() -> None:
    challenged = replace(ORIGIN, http=("::1", 80))
    assert describe_service(https("a.eu", challenged)).endswith("v2, challenges to [::1]:80")


def test_a_service_is_described_for_people() -> None:
    idle = Origin("forgejo", 22, ProxyProtocol.NONE, idle_timeout_s=300)

    assert describe_service(https("a.eu")) == "https:a.eu: origin 127.0.0.1:8443, PROXY v2"
    assert describe_service(tcp("ssh", "auto", idle)) == (
        "tcp:ssh, public port auto: origin forgejo:22, without PROXY header, idle for 300 s at most"
    )
    game = Service(
        ServiceKey(ServiceKind.UDP, "game"),
        Origin("192.0.2.7", 10, ProxyProtocol.NONE, last_port=12),
        port=10,
        last_port=12,
    )
    tls = OriginTls("app.internal"), OriginTls("app.internal", is_verified=False)
    inside, anybody = (replace(ORIGIN, proxy_protocol=ProxyProtocol.NONE, tls=each) for each in tls)
    assert describe_service(https("a.eu", inside)).endswith("header, TLS with app.internal")
    assert describe_service(https("a.eu", anybody)).endswith("app.internal (not verified)")
    faster = replace(https("a.eu"), http2=True)
    assert describe_service(faster).endswith("PROXY v2, HTTP/2 and HTTP/1.1")
    assert describe_service(game) == "udp:game, public ports 10-12: origin 192.0.2.7:10-12"
    assert describe_service(udp("dns")) == (
        "udp:dns, public port 5353: origin 127.0.0.1:53, idle for 60 s at most,"
        " 4096 bytes without an answer at most"
    )
