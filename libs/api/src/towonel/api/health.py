"""Answer of the hub's health endpoint."""

from typing import Literal

from towonel.api.bodies import Answer
from towonel.api.fields import Hex32


class HealthOut(Answer):
    """That the hub is there, and who it is."""

    status: Literal["ok"] = "ok"
    node_id: Hex32
    version: str
    protocol_version: int = 1
