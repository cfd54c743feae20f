"""Quotas of a tenant."""

from typing import Annotated

from pydantic import Field

from towonel.api.bodies import Request

MAX_LIMIT = 1_000_000

type Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]


class Limits(Request):
    """Quotas of a tenant; null is the hub's default."""

    services: Limit | None = None
    agents: Limit | None = None
    ports: Limit | None = None
    hostnames: Limit | None = None
