"""Check of names: they resolve to an address of this edge, by name servers that may be slow or dead."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from towonel.edge.certificates.acme.authority import OrderRefused
from towonel.edge.certificates.acme.name_check import NameCheck
from towonel.edge.certificates.serving import find_hosts
from towonel.edge.core.certificates.issuance import Refusal
from towonel.edge.settings import EdgeSettings
from towonel.runtime.dns.lookups import Answer, LookupThreads
from towonel.runtime.dns.resolver import Resolver
from towonel.runtime.settings import load
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
ADDRESSES = {
    NAME: "203.0.113.9",
    "edge.example.eu": "198.51.100.7",
    "six.example.eu": "2001:db8::7",
}


def look_up(host: str, *_: Any) -> Answer:
    if host not in ADDRESSES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, 0, 0, "", (ADDRESSES[host], 0))]


def make_check(
    *hosts: str, machine: str = "10.0.0.5", look_up: Callable[..., Answer] = look_up, **options: Any
) -> NameCheck:
    return NameCheck(hosts, Resolver(LookupThreads(look_up)), lambda: [machine], **options)


@pytest.mark.parametrize("host", ["203.0.113.9", NAME])
async def test_a_name_that_leads_to_an_advertised_address_passes(host: str) -> None:
    await make_check("198.51.100.7", host).check(NAME)


async def test_a_name_that_leads_to_the_machine_passes() -> None:
    await make_check(machine="203.0.113.9").check(NAME)


async def test_an_edge_that_does_not_know_its_addresses_asks_only_that_a_name_resolves() -> None:
    check = make_check("no.such.host")
    await check.check(NAME)

    with pytest.raises(OrderRefused, match="does not resolve: Name or service not known") as caught:
        await check.check(Hostname("other.example.eu"))
    assert caught.value.refusal is Refusal.UNRESOLVED


@pytest.mark.parametrize(
    ("host", "listed"),
    [("edge.example.eu", "10.0.0.5, 198.51.100.7"), ("six.example.eu", "10.0.0.5, 2001:db8::7")],
)
async def test_a_name_that_leads_elsewhere_is_refused_with_both_addresses(
    host: str, listed: str
) -> None:
    with pytest.raises(OrderRefused) as caught:
        await make_check(host).check(NAME)

    assert caught.value.refusal is Refusal.ELSEWHERE
    assert str(caught.value) == f"resolves to 203.0.113.9, not to this edge ({listed})"


async def test_name_servers_that_do_not_answer_keep_nobody_waiting() -> None:
    may_end = threading.Event()

    def hang(*_: Any) -> Answer:
        may_end.wait(20)
        return []

    with pytest.raises(OrderRefused, match=r"no answer of name servers within 0\.05 s"):
        await make_check(look_up=hang, wait_s=0.05).check(NAME)
    may_end.set()


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({"TOWONEL_EDGE_ADVERTISED_ADDRESSES": "edge.example.eu:443,[2001:db8::7]:443"}, ["edge.example.eu", "2001:db8::7"]),
        ({"TOWONEL_HUB_PUBLIC_URL": "https://hub.example.eu"}, ["hub.example.eu"]),
        ({"TOWONEL_EDGE_LISTEN_ADDR": "192.0.2.7:443"}, ["192.0.2.7"]),
        ({}, []),
    ],
)  # fmt: skip
def test_an_edge_is_where_its_settings_say(environ: dict[str, str], hosts: list[str]) -> None:
    assert find_hosts(load(EdgeSettings, {"TOWONEL_DATA_DIR": "/data", **environ})) == hosts
