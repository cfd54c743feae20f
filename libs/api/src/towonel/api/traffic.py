"""Traffic counters."""

from towonel.api.bodies import Answer


class Traffic(Answer):
    """Traffic that edges reported since their start; bytes as clients see them."""

    connections_active: int = 0
    connections_total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
