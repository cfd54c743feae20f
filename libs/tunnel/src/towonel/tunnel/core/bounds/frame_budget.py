"""Frame budget: bounds the frames that a peer may have us read beside those that carry its streams.

A frame takes time whatever it carries, and a packet holds up to a thousand of them. An honest packet
has one of each kind for a stream, and a few that concern the connection. So those are free; what is
left over is taken from what packets and streams bring in.
"""

BURST = 512
PER_PACKET = 8  # an acknowledgement, limits, connection ids
PER_STREAM = 8  # frames of streams that are over here, which a peer sends again


class FrameBudget:
    """Budget of the frames of one peer."""

    def __init__(self) -> None:
        self._left = BURST

    def record_stream(self) -> None:
        """Count a stream that came to be."""
        self._left += PER_STREAM

    def spend(self, count: int) -> bool:
        """Count a packet with so many frames, and return whether they were within the budget."""
        if self._left < BURST:
            self._left += PER_PACKET
        self._left -= count
        return self._left >= 0
