"""Timers of a session, of either end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Timers in seconds; a test passes shorter ones.

    Args:
        hello_s: at an edge, from the first datagram to a Hello that holds.
        welcome_s: at an agent, from dialling an address to the edge's Welcome.
        address_delay_s: at an agent, between two addresses of an edge (RFC 8305 §5).
        preamble_s: at an agent, from a stream's first byte to the end of its preamble.
        silence_s: an answer to a ping takes a round trip; the slowest links have 0.3 s.
        keepalive_s: between pings; below the 30 s that home routers keep an idle UDP binding.
        idle_s: without a packet of the peer, until a connection is given up.
    """

    hello_s: float = 5.0
    welcome_s: float = 5.0
    address_delay_s: float = 0.25
    preamble_s: float = 5.0
    silence_s: float = 0.4
    keepalive_s: float = 10.0
    idle_s: float = 30.0


DEFAULT_TIMING = Timing()
