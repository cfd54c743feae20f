"""Log of edges that cannot listen on the public port of a service: a line per change, and the reason in health."""

from collections.abc import Iterable, Mapping, Sequence

import structlog

from towonel.agent.core.listener_failures import (
    ListenerFailure,
    compare_failures,
    explain_failures,
)
from towonel.runtime.admin import Health

LISTENERS = "listeners"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ListenerLog:
    """Log of the listeners that fail of an agent's services."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._failures: Sequence[ListenerFailure] = ()

    def update(self, reported: Iterable[ListenerFailure], routes: Mapping[str, str]) -> None:
        """Say what has changed.

        Args:
            reported: those that the hub knows of; of routes that the agent's group had before, too.
            routes: service keys of the agent, by route key.
        """
        failures = [failure for failure in reported if failure.route_key in routes]
        changes, self._failures = compare_failures(self._failures, failures, routes), failures
        for failure in changes.failed:
            log.warning(
                "listener.failed",
                service_key=routes[failure.route_key],
                route=failure.route_key,
                edge_id=failure.edge_id.hex(),
                code=failure.code,
                detail=failure.detail,
                **_name_ports(failure),
            )
        for failure in changes.restored:
            log.info(
                "listener.restored",
                service_key=routes[failure.route_key],
                route=failure.route_key,
                edge_id=failure.edge_id.hex(),
                **_name_ports(failure),
            )
        self._health.set_degraded(LISTENERS, reason=explain_failures(failures, routes))


def _name_ports(failure: ListenerFailure) -> Mapping[str, str]:
    return {"ports": failure.ports} if failure.ports else {}
