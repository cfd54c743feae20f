"""Access log of an edge: one line for each connection that workers have drawn."""

import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import structlog

from towonel.edge.core.access_log import AccessLine, LineBudget
from towonel.edge.metrics import Metrics
from towonel.wire.errors import Code
from towonel.wire.proxy import Address

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class AccessLogWriter:
    """Writer of the access log.

    Args:
        metrics: count the lines that were left out.
        per_second: lines at most; further ones are counted.
    """

    def __init__(self, metrics: Metrics, per_second: int) -> None:
        self._metrics = metrics
        self._budget = LineBudget(per_second, time.monotonic)

    def write(self, line: AccessLine) -> None:
        """Write a line, if there were not enough in this second."""
        if self._budget.take():
            log.info("client.ended", **_to_fields(line))
        else:
            self.drop(1)

    def write_all(self, lines: Sequence[Sequence[Any]], dropped: int) -> None:
        """Write the lines of a worker, which has left out others."""
        for values in lines:
            self.write(AccessLine(*values))
        self.drop(dropped)

    def drop(self, count: int) -> None:
        """Count lines that are left out."""
        self._metrics.access_lines_dropped.inc(count)


def _to_fields(line: AccessLine) -> dict[str, object]:
    host, port = line.peer
    known = {
        "peer": str(Address(ip_address(host), port)),
        "hostname": line.hostname,
        "tenant_id": None if line.tenant_id is None else line.tenant_id.hex(),
        "service_key": line.service,
        "agent_id": None if line.agent_id is None else line.agent_id.hex(),
        "way": line.way,
        "code": Code(line.code).word,
        "bytes_in": line.bytes_in,
        "bytes_out": line.bytes_out,
        "hello_ms": _to_ms(line.hello_s),
        "accept_ms": _to_ms(line.accept_s),
        "total_ms": _to_ms(line.total_s),
        "trace_id": line.trace_id.hex(),
    }
    return {key: value for key, value in known.items() if value is not None}


def _to_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)
