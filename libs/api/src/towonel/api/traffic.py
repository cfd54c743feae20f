"""Traffic counters."""

from typing import Literal

from towonel.api.bodies import Answer

# How clients of a session reach its agent, and why that is no lane: none since the session began, all were
# lost, or none is wanted, since it takes no more clients.
type Way = Literal["lane", "tls_lane", "stream"]
type WayReason = Literal["none_came", "lost", "not_wanted"]
type EngineName = Literal["compiled", "python"]  # what carries the bytes of clients


class Traffic(Answer):
    """Traffic that edges reported since their start; bytes as clients see them."""

    connections_active: int = 0
    connections_total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
