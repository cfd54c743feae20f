"""Quotas of a tenant at the hub, and limits of its clients at edges."""

from typing import Annotated

from pydantic import Field

from towonel.api.bodies import Request

MAX_LIMIT = 1_000_000
MIN_BANDWIDTH = 8_000  # bits a second: a kilobyte
MAX_BANDWIDTH = 10**12

type Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
type Rate = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
type Bandwidth = Annotated[int, Field(ge=MIN_BANDWIDTH, le=MAX_BANDWIDTH)]


class Limits(Request):
    """Quotas of a tenant; null is the hub's default.

    The last three are limits of its clients at each edge, where null is none but the edge's own: `connections` at once,
    `connection_rate` of new ones a second, and `bandwidth` in bits a second, both ways together.
    """

    services: Limit | None = None
    agents: Limit | None = None
    ports: Limit | None = None
    hostnames: Limit | None = None
    connections: Limit | None = None
    connection_rate: Rate | None = None
    bandwidth: Bandwidth | None = None


EDGE_LIMITS = frozenset({"connections", "connection_rate", "bandwidth"})
