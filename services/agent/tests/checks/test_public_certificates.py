"""Public certificates: what clients see is compared with what the origin has, at each address of a name."""

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.origins import Certificates, silent_port
from support.tunnel import until

from towonel.agent.checks.public_certificates import CERTIFICATES, PublicCertificates
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.timing import PublicTiming
from towonel.runtime.admin import Health
from towonel.runtime.dns.lookups import Answer, LookupThreads
from towonel.runtime.dns.resolver import Resolver
from towonel.wire import proxy
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.routes import TlsMode

NAME = "app.example.eu"
KEY = ServiceKey(ServiceKind.HTTPS, NAME)
FAST = PublicTiming(every_s=60, retry_s=0.02, timeout_s=5)


@dataclass
class Names:
    """Name server of these addresses."""

    addresses: dict[str, list[str]] = field(default_factory=lambda: {NAME: ["127.0.0.1"]})
    asked: list[str] = field(default_factory=list[str])

    def look_up(self, host: str, *_: object) -> Answer:
        self.asked.append(host)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
        return [(*kind, (address, 0)) for address in self.addresses[host]]


@dataclass
class Public:
    """Name that leads to one server, whose origin may be another."""

    names: Names
    port: int
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)
    observed: list[list[str]] = field(default_factory=list[list[str]])

    def check(self, *services: Service, timing: PublicTiming = FAST) -> PublicCertificates:
        # A clock that leaps: no answer of the resolver is fresh.
        resolver = Resolver(LookupThreads(self.names.look_up), itertools.count(0, 10).__next__)
        dialer = OriginDialer(resolver, 1)
        return PublicCertificates(services, self.port, dialer, self.health, self.metrics, timing)

    def count(self, state: str) -> float:
        name = "towonel_agent_public_certificates"
        return self.metrics.registry.get_sample_value(name, {"state": state}) or 0

    @contextlib.asynccontextmanager
    async def checking(self, *services: Service) -> AsyncGenerator[PublicCertificates]:
        checker = self.check(*services)
        checker.observe = lambda: self.observed.append(checker.mismatches)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(checker.run())
            yield checker
            task.cancel()


async def read_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


@contextlib.asynccontextmanager
async def serving(
    context: ssl.SSLContext, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[int]:
    async with await asyncio.start_server(read_on, host, port, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


def service(port: int, *, key: ServiceKey = KEY, **more: Any) -> Service:
    return Service(key, Origin("127.0.0.1", port, ProxyProtocol.NONE), **more)


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir()
    return Certificates(folder)


@pytest.fixture
def home(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "home")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "elsewhere")


async def test_the_origins_own_certificate_is_as_it_should_be(home: Certificates) -> None:
    async with serving(home.server(NAME)) as port:
        public = Public(Names(), port)
        async with public.checking(service(port)) as checker:
            await until(lambda: public.count("same") == 1)

    assert (checker.mismatches, public.observed) == ([], [])
    assert CERTIFICATES not in public.health.reasons


async def test_another_certificate_is_an_error_that_names_both(
    home: Certificates, elsewhere: Certificates
) -> None:
    async with serving(home.server(NAME)) as origin, serving(elsewhere.server(NAME)) as port:
        public = Public(Names(), port)
        with capture_logs() as lines:
            async with public.checking(service(origin)):
                await until(lambda: len(public.names.asked) > 2)

    assert public.observed == [[f"https:{NAME}"]]
    assert public.count("different") == 1
    [line] = [each for each in lines if each["log_level"] == "error"]
    assert line["event"] == "public_certificate.different"
    assert line["detail"].startswith(f"{NAME} at 127.0.0.1: SHA-256 ")
    assert line["detail"].count("SHA-256") == 2
    assert "origin's certificate" in public.health.reasons[CERTIFICATES]


async def test_one_of_several_addresses_is_enough(
    home: Certificates, elsewhere: Certificates
) -> None:
    async with (
        serving(home.server(NAME)) as port,
        serving(elsewhere.server(NAME), "127.0.0.2", port),
    ):
        public = Public(Names({NAME: ["127.0.0.1", "127.0.0.2"]}), port)
        async with public.checking(service(port)):
            await until(lambda: public.count("different") == 1)

    assert "at 127.0.0.2" in public.health.reasons[CERTIFICATES]


async def test_it_is_over_once_the_certificate_is_right_again(
    home: Certificates, elsewhere: Certificates
) -> None:
    right, names = home.server(NAME), Names({NAME: ["127.0.0.2"]})
    async with serving(right) as port, serving(elsewhere.server(NAME), "127.0.0.2", port):
        public = Public(names, port)
        async with public.checking(service(port)):
            await until(lambda: public.observed)
            names.addresses[NAME] = ["127.0.0.1"]
            await until(lambda: public.count("same") == 1)

    assert public.observed == [[f"https:{NAME}"], []]
    assert CERTIFICATES not in public.health.reasons


@pytest.mark.parametrize("addresses", [{}, {NAME: ["127.0.0.1"]}], ids=["no name", "no answer"])
async def test_what_cannot_be_seen_is_no_error(
    home: Certificates, addresses: dict[str, list[str]]
) -> None:
    with silent_port("127.0.0.1") as silent:
        public = Public(Names(addresses), silent)
        async with serving(home.server(NAME)) as origin:
            checker = public.check(service(origin), timing=PublicTiming(timeout_s=0.2))
            task = asyncio.create_task(checker.run())
            await until(lambda: public.count("unseen") == 1)
            task.cancel()

    assert checker.mismatches == []
    assert CERTIFICATES not in public.health.reasons


async def test_an_origin_that_wants_a_proxy_header_gets_that_of_a_check(
    home: Certificates,
) -> None:
    context, loop = home.server(NAME), asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as origin:
        origin.setblocking(False)
        proxied = Origin("127.0.0.1", origin.getsockname()[1], ProxyProtocol.V2)
        async with serving(context) as port:
            public = Public(Names(), port)
            async with public.checking(Service(KEY, proxied)):
                sock, _ = await loop.sock_accept(origin)
                assert await loop.sock_recv(sock, len(proxy.LOCAL)) == proxy.LOCAL
                transport, _ = await loop.connect_accepted_socket(
                    asyncio.Protocol, sock, ssl=context
                )
                await until(lambda: public.count("same") == 1)
                transport.abort()


async def test_only_names_whose_tls_ends_at_the_origin_are_checked(home: Certificates) -> None:
    async with serving(home.server(NAME)) as port:
        public = Public(Names(), port)
        ssh = service(port, key=ServiceKey(ServiceKind.TCP, "ssh"))
        async with public.checking(service(port, tls_mode=TlsMode.TERMINATE), ssh) as checker:
            checker.change([service(port)])
            await until(lambda: public.count("same") == 1)
            checker.change([])

    assert [public.count(state) for state in ("same", "different", "unseen")] == [0, 0, 0]


async def test_a_wildcard_is_checked_by_a_name_below_it(home: Certificates) -> None:
    names = Names({"check.example.eu": ["127.0.0.1"]})
    async with serving(home.server(NAME)) as port:
        public = Public(names, port)
        wildcard = service(port, key=ServiceKey(ServiceKind.HTTPS, "*.example.eu"))
        async with public.checking(wildcard):
            await until(lambda: public.count("same") == 1)
