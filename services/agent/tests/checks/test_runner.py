"""Checks of an agent's origins: hints for edges, health and metrics follow them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import override

from structlog.testing import capture_logs
from support.tunnel import until

from towonel.agent.checks.probe import OriginProbe
from towonel.agent.checks.runner import OriginChecks
from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.balance_hints import BalanceHints

CHECK = OriginCheck(CheckKind.TCP, interval_s=0, rise=1, fall=1)
WEB, SSH = ServiceKey(ServiceKind.HTTPS, "a.eu"), ServiceKey(ServiceKind.TCP, "ssh")


def service(key: ServiceKey, port: int = 1, *, is_checked: bool = True) -> Service:
    origin = Origin("127.0.0.1", port, ProxyProtocol.NONE)
    return Service(key, origin, check=CHECK if is_checked else None)


class ScriptedProbe(OriginProbe):
    """Probe that finds what the test says, by origin."""

    def __init__(self) -> None:
        super().__init__(OriginDialer(Resolver(), 1))
        self.problems: dict[str, str] = {}
        self.asked: list[str] = []

    @override
    async def run(self, service: Service, check: OriginCheck) -> str | None:
        self.asked.append(str(service.origin))
        await asyncio.sleep(0)
        return self.problems.get(str(service.origin))


@dataclass
class Fixture:
    probe: ScriptedProbe = field(default_factory=ScriptedProbe)
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)
    seen: list[BalanceHints] = field(default_factory=list[BalanceHints])

    @contextlib.asynccontextmanager
    async def checking(self, services: Sequence[Service]) -> AsyncGenerator[OriginChecks]:
        checks = OriginChecks(services, 100, self.probe, self.health, self.metrics)
        checks.observe = self.seen.append
        async with asyncio.timeout(20):
            running = asyncio.create_task(checks.run())
            yield checks
            running.cancel()


async def test_an_origin_is_failing_and_the_agent_not_ready_until_a_check_has_passed() -> None:
    found = Fixture()
    found.probe.problems["127.0.0.1:1"] = "refused"
    async with found.checking([service(WEB), service(SSH, 2, is_checked=False)]) as checks:
        assert checks.hints == BalanceHints(failing=frozenset({WEB}))
        await until(lambda: "refused" in found.health.reasons["origins"])
        assert found.health.reasons["origins"] == "no check has passed yet: https:a.eu (refused)"
        found.probe.problems.clear()
        await until(lambda: found.seen)

        assert found.seen == [BalanceHints()]
        assert found.health.ready
        assert set(found.probe.asked) == {"127.0.0.1:1"}


async def test_an_origin_that_fails_later_degrades_the_agent_and_is_logged_once_each_way() -> None:
    found = Fixture()
    with capture_logs() as lines:
        async with found.checking([service(WEB)]):
            await until(lambda: found.seen == [BalanceHints()])
            found.probe.problems["127.0.0.1:1"] = "refused"
            await until(lambda: len(found.seen) == 2)
            assert found.health.ready
            assert found.health.degraded == {"origins": True}
            assert found.metrics.registry.get_sample_value("towonel_agent_origins_failing") == 1
            found.probe.problems.clear()
            await until(lambda: len(found.seen) == 3)

    assert [line["event"] for line in lines] == ["origin.check_failed", "origin.check_passed"]
    assert found.health.degraded == {"origins": False}
    assert found.metrics.registry.get_sample_value("towonel_agent_origins_failing") == 0


async def test_checks_follow_the_services_and_what_stays_keeps_its_state() -> None:
    found, sticky = Fixture(), replace(service(WEB), is_sticky=True)
    async with found.checking([service(WEB)]) as checks:
        await until(lambda: found.seen == [BalanceHints()])
        checks.change([sticky, service(SSH, 2)])
        assert checks.hints == BalanceHints(100, frozenset({SSH}), frozenset({WEB}))
        await until(lambda: not checks.hints.failing)
        checks.change([service(SSH, 3)])
        assert checks.hints.failing == {SSH}
        await until(lambda: "127.0.0.1:3" in found.probe.asked)
        await until(lambda: not checks.hints.failing)
        checks.change_weight(0)
        assert found.seen[-1] == BalanceHints(0)
        checks.change([])
        count = len(found.probe.asked)
        for _ in range(50):
            await asyncio.sleep(0)

    assert len(found.probe.asked) <= count + 1  # one was under way


async def test_services_that_end_before_a_check_has_passed_do_not_keep_an_agent_from_being_ready() -> (
    None
):
    found = Fixture()
    found.probe.problems["127.0.0.1:1"] = "refused"
    async with found.checking([service(WEB)]) as checks:
        await until(lambda: not found.health.ready and "refused" in found.health.reasons["origins"])
        checks.change([])

        assert found.health.ready
        assert not found.health.reasons


async def test_each_check_is_counted() -> None:
    found = Fixture()
    async with found.checking([service(WEB)]):
        await until(lambda: found.seen)
        found.probe.problems["127.0.0.1:1"] = "refused"
        await until(lambda: len(found.seen) == 2)

    for result in ("passed", "failed"):
        name = "towonel_agent_origin_checks_total"
        assert (found.metrics.registry.get_sample_value(name, {"result": result}) or 0) > 0
