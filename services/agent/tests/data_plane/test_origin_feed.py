"""Feed of origins to workers: names are looked up once, however many workers ask."""

import asyncio
import socket
import threading

import pytest
from structlog.testing import capture_logs
from support.tunnel import SERVICE, until

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.agent.data_plane.origin_feed import OriginFeed
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import (
    Down,
    HeadersUnread,
    Origins,
    Refused,
    Resolved,
    name_service,
)
from towonel.runtime.dns.lookups import Answer, LookupThreads
from towonel.runtime.dns.resolver import Resolver
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey

NAME = name_service(SERVICE)


async def test_workers_that_ask_at_once_share_an_answer_and_later_ones_get_a_new_one() -> None:
    asked, told = list[str](), list[Down]()

    def look_up(host: str, *_: object) -> Answer:
        asked.append(host)
        address = (f"127.0.0.{len(asked)}", 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    resolver = Resolver(LookupThreads(look_up), min_age_s=0)
    services = [Service(SERVICE, Origin("origin.example", 8443, ProxyProtocol.NONE))]
    feed = OriginFeed(services, resolver, OriginLog(), told.append)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            feed.look_up(NAME, tasks)
    async with asyncio.TaskGroup() as tasks:
        feed.look_up(NAME, tasks)

    await until(lambda: len(told) == 2)
    assert asked == ["origin.example"] * 2
    assert told == [Resolved(NAME, ((f"127.0.0.{number}", 8443),)) for number in (1, 2)]


async def test_a_name_that_does_not_resolve_is_told_and_asked_for_again() -> None:
    told = list[Down]()

    def look_up(*_: object) -> Answer:
        raise socket.gaierror

    resolver = Resolver(LookupThreads(look_up))
    services = [Service(SERVICE, Origin("origin.example", 8443, ProxyProtocol.NONE))]
    feed = OriginFeed(services, resolver, OriginLog(), told.append)
    for _ in range(2):
        async with asyncio.TaskGroup() as tasks:
            feed.look_up(NAME, tasks)

    assert told == [Resolved(NAME, ())] * 2


async def test_a_client_that_is_refused_is_told_with_its_origin_or_the_reason() -> None:
    service = Service(SERVICE, Origin("origin.example", 8443, ProxyProtocol.NONE))
    feed = OriginFeed([service], Resolver(), OriginLog(), list[Down]().append)
    refused = {"x.eu": Code.OVERLOADED, "y.eu": Code.NO_SERVICE, "z.eu": Code.ORIGIN_REFUSED}
    with capture_logs() as lines:
        feed.log(Refused(NAME, int(Code.ORIGIN_REFUSED), 1))
        for name, code in refused.items():
            feed.log(Refused(name_service(ServiceKey(SERVICE.kind, name)), int(code), 1))

    assert [(line["code"], line["detail"]) for line in lines] == [
        ("origin_refused", "origin origin.example:8443"),
        ("overloaded", "as many streams are open as TOWONEL_AGENT_MAX_STREAMS allows"),
        ("no_service", "this agent has no such service"),
        ("origin_refused", ""),
    ]


def test_workers_are_told_of_origins_that_change_and_of_no_others() -> None:
    told, other = list[Down](), ServiceKey(SERVICE.kind, "other.eu")
    same, moved = (Origin("127.0.0.1", port, ProxyProtocol.NONE, 300 * port) for port in (1, 2))
    feed = OriginFeed([Service(SERVICE, same)], Resolver(), OriginLog(), told.append)
    feed.change([Service(SERVICE, same), Service(other, same)])
    feed.change([Service(other, moved)])

    ones, moved_to = ((("127.0.0.1", port),) for port in (1, 2))
    assert told == [
        Origins(((name_service(other), False, ones, 300, 0, None, None),)),
        Origins(ended=(NAME,)),
        Origins(((name_service(other), False, moved_to, 600, 0, None, None),)),
    ]


async def test_what_a_worker_says_of_an_origin_is_told_with_it() -> None:
    service = Service(SERVICE, Origin("origin.example", 8443, ProxyProtocol.NONE))
    feed = OriginFeed([service], Resolver(), OriginLog(), list[Down]().append)
    with capture_logs() as lines:
        feed.log(Refused(NAME, int(Code.ORIGIN_TLS_FAILED), 1, "its certificate has expired"))

    assert lines[0]["detail"] == "origin origin.example:8443: its certificate has expired"


def test_workers_are_told_of_the_tls_to_an_origin() -> None:
    tls = OriginTls("app.internal", "/etc/ca.pem")
    origin = Origin("127.0.0.1", 1, ProxyProtocol.NONE, gets_plaintext=True, tls=tls)
    feed = OriginFeed([Service(SERVICE, origin)], Resolver(), OriginLog(), list[Down]().append)
    [described] = feed.describe()

    assert described.origins[0][-1] == ("app.internal", "/etc/ca.pem", True)


async def test_the_address_of_an_origin_that_was_replaced_meanwhile_is_told_to_nobody() -> None:
    told, may_answer = list[Down](), threading.Event()

    def look_up(host: str, *_: object) -> Answer:
        if host == "slow.example":
            assert may_answer.wait(20)
        address = ("127.0.0.1" if host == "slow.example" else "127.0.0.2", 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    origins = (Origin(f"{name}.example", 8443, ProxyProtocol.NONE) for name in ("slow", "quick"))
    slow, quick = (Service(SERVICE, origin) for origin in origins)
    feed = OriginFeed([slow], Resolver(LookupThreads(look_up)), OriginLog(), told.append)
    async with asyncio.TaskGroup() as tasks:
        feed.look_up(NAME, tasks)
        await asyncio.sleep(0)
        feed.change([quick])
        may_answer.set()
    feed.change([])
    async with asyncio.TaskGroup() as tasks:
        feed.look_up(NAME, tasks)

    assert [each for each in told if isinstance(each, Resolved)] == [
        Resolved(NAME, (("127.0.0.2", 8443),))
    ]


@pytest.mark.parametrize(("gets_plaintext", "events"), [(False, 1), (True, 0)])
async def test_only_an_origin_of_tls_is_suspected_of_not_reading_its_header(
    *, gets_plaintext: bool, events: int
) -> None:
    origin = Origin("127.0.0.1", 1, ProxyProtocol.V2, gets_plaintext=gets_plaintext)
    feed = OriginFeed([Service(SERVICE, origin)], Resolver(), OriginLog(), list[Down]().append)
    with capture_logs() as logs:
        feed.log(HeadersUnread(name_service(SERVICE), 1))

    assert len(logs) == events
