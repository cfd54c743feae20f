"""Checks of the origins of an agent, and the hints that edges get of them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random, SystemRandom
from typing import Final

from towonel.agent.checks.probe import OriginProbe
from towonel.agent.core.checks.origin_check import CheckState
from towonel.agent.core.publication import format_names
from towonel.agent.core.services import Service
from towonel.agent.metrics import Metrics
from towonel.runtime.admin import Health
from towonel.runtime.log_limit import LogLimit
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import NO_HINTS, BalanceHints

ORIGINS: Final = "origins"
REPORT_S: Final = 0.25  # between hints of edges: what changes meanwhile is in one
MAX_PROBES: Final = 32  # at once


class OriginChecks:
    """Checks of origins: one task for each service that wants it.

    Args:
        services: of the agent.
        weight: of its group.
        probe: makes a check.
        health: is not ready until each origin has passed once, and says afterwards which are failing.
        metrics: count checks.

    Attributes:
        observe: is called with the hints when they have changed.
    """

    def __init__(
        self,
        services: Sequence[Service],
        weight: int,
        probe: OriginProbe,
        health: Health,
        metrics: Metrics,
        rng: Random | None = None,
    ) -> None:
        self._weight = weight
        self._probe = probe
        self._health = health
        self._metrics = metrics
        self._rng = rng or SystemRandom()
        self._log = LogLimit()
        self._services: Mapping[ServiceKey, Service] = {}
        self._states: dict[ServiceKey, CheckState] = {}
        self._problems: dict[ServiceKey, str] = {}
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(MAX_PROBES)
        self._hints = NO_HINTS  # that were reported last
        self.observe: Callable[[BalanceHints], None] = _ignore
        self._untried = {service.key for service in services if service.check}  # since the start
        self.change(services)

    @property
    def hints(self) -> BalanceHints:
        """Hints of now."""
        return BalanceHints(
            self._weight,
            frozenset(key for key, state in self._states.items() if state.is_failing),
            frozenset(key for key, service in self._services.items() if service.is_sticky),
        )

    def change(self, services: Iterable[Service]) -> None:
        """Check the origins of these services, and of no others; what stays as it was keeps its state."""
        before, states = self._services, self._states
        self._services = {service.key: service for service in services}
        self._states = {
            key: states[key] if _is_same(before.get(key), service) else CheckState(service.check)
            for key, service in self._services.items()
            if service.check is not None
        }
        self._problems = {key: self._problems[key] for key in self._problems if key in self._states}
        self._report()
        self._update_health()

    def change_weight(self, weight: int) -> None:
        """Have another weight from now on."""
        self._weight = weight
        self._report()

    async def run(self) -> None:
        """Check until cancelled."""
        running: dict[ServiceKey, tuple[Service, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for key, (service, task) in list(running.items()):
                    if task.done() or self._is_over(service):
                        running.pop(key)[1].cancel()
                for key in self._states.keys() - running.keys():
                    service = self._services[key]
                    running[key] = service, tasks.create_task(self._check(service))
                await asyncio.sleep(REPORT_S)
                await self._changed.wait()
                self._report()

    def _is_over(self, service: Service) -> bool:
        return not _is_same(self._services.get(service.key), service)

    async def _check(self, service: Service) -> None:
        check = service.check
        assert check is not None, "it has a state"
        while not self._is_over(service):
            async with self._places:
                problem = await self._probe.run(service, check)
            if not self._is_over(service):
                self._record(service, problem)
            await asyncio.sleep(check.interval_s * self._rng.uniform(0.9, 1.1))

    def _record(self, service: Service, problem: str | None) -> None:
        key, state = service.key, self._states[service.key]
        self._metrics.origin_checks.labels("failed" if problem else "passed").inc()
        if problem is None:
            self._untried.discard(key)
        if state.record(passed=problem is None):
            self._changed.set()
        if state.is_failing and problem is not None:
            if key not in self._problems or self._problems[key] != problem:
                self._log.warning(
                    "origin.check_failed", key=key, service_key=str(key), detail=problem
                )
            self._problems[key] = problem
        elif not state.is_failing and self._problems.pop(key, None) is not None:
            self._log.info("origin.check_passed", key=key, service_key=str(key))
        self._update_health()

    def _report(self) -> None:
        """Let edges have hints that have changed."""
        hints = self.hints
        self._changed.set()
        self._metrics.origins_failing.set(len(hints.failing))
        if hints != self._hints:
            self._hints = hints
            self.observe(hints)

    def _update_health(self) -> None:
        self._untried &= self._states.keys()
        failing = sorted(f"{key} ({detail})" for key, detail in self._problems.items())
        waiting = format_names(failing or sorted(map(str, self._untried)))
        self._health.set(
            ORIGINS, ok=not self._untried, reason=f"no check has passed yet: {waiting}"
        )
        reason = f"origins fail their checks: {format_names(failing)}" if failing else None
        self._health.set_degraded(ORIGINS, reason=reason)


def _is_same(before: Service | None, after: Service) -> bool:
    """Whether a state of a service's check holds for another version of it."""
    if before is None:
        return False
    return (before.origin, before.check) == (after.origin, after.check)


def _ignore(_hints: BalanceHints) -> None:
    """Tell nobody."""
