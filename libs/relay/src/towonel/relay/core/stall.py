"""Detector of TCP connections whose peer has vanished while bytes are on the way to it.

The kernel goes on for a quarter of an hour before it gives up, and a timeout of its own
(TCP_USER_TIMEOUT) takes a peer that does not read for one that is gone. A peer that does not read
acknowledges probes of its closed window; one that is gone acknowledges nothing.

Source: struct tcp_info of linux/tcp.h.
"""

import struct
from typing import Final

STALL_S: Final = 15.0
_INFO: Final = struct.Struct("=3xB20xI28xI")  # probes, unacked, last_ack_recv
INFO_BYTES: Final = _INFO.size
_PROBES: Final = 2  # of the window: one is on its way, and the one before it has no answer


class StallDetector:
    """Detector for one connection, which is asked now and then."""

    def __init__(self) -> None:
        self._since = 0.0  # when bytes were first seen to be on the way; 0 for never

    def check(self, info: bytes, now: float) -> bool:
        """Return whether nothing was acknowledged for 15 s, during all of which bytes waited for it.

        Args:
            info: the first `INFO_BYTES` of the kernel's TCP_INFO.
            now: in seconds, above 0.
        """
        probes: int
        unacknowledged: int
        quiet_ms: int
        probes, unacknowledged, quiet_ms = _INFO.unpack(info)
        if not unacknowledged and probes < _PROBES:
            self._since = 0.0
            return False
        if not self._since:
            self._since = now
        waited_s = min(now - self._since, quiet_ms / 1000)
        return waited_s >= STALL_S
