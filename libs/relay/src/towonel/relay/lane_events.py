"""Events of a lane, on which its side acts: the edge's and the agent's."""

from towonel.relay.frame_reader import FrameReader
from towonel.wire.errors import Code


class LaneEvents(FrameReader):
    """Reader of a lane's frames with a method for each event; arguments as of `FrameReader`."""

    def on_open(self, payload: bytes) -> None:
        """Act on OPEN, at the agent."""
        raise NotImplementedError

    def on_accept(self) -> None:
        """Act on ACCEPT, at the edge: attach the connection, whose bytes may follow at once."""
        raise NotImplementedError

    def on_reject(self, code: Code) -> None:
        """Act on REJECT, at the edge: no byte of the client reached the origin; end the use."""
        raise NotImplementedError

    def on_reset(self, code: Code) -> None:
        """Act on a RESET where there is no connection, or none any more; end the use."""
        raise NotImplementedError

    def on_idle(self) -> None:
        """Act on the end of a use, for both sides."""
        raise NotImplementedError

    def on_pong(self) -> None:
        """Act on the answer to a PING."""
        raise NotImplementedError

    def on_deadline(self) -> None:
        """Act on a deadline that was armed while there was no connection."""
        raise NotImplementedError

    def on_lost(self, code: Code) -> None:
        """Act on the loss of the lane, which is closed; its connection has been reset."""
        raise NotImplementedError
