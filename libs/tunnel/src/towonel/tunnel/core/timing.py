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
        open_silence_s: at an edge, for which a client waits for an agent that says nothing at all.
        probe_s: with streams open, without a packet of the peer, until it is pinged.
        dead_s: with streams open, until a peer that does not answer a ping is given up; with
            `probe_s` before it, 6 to 8 s after the peer's end.
        renew_s: at an edge, between an agent's renewals.
        edge_keepalive_s: without streams, without a packet of the agent, until it is pinged; below
            the 30 s that home routers keep an idle UDP binding.
        agent_keepalive_s: the same at an agent. It asks first, since an edge that was started again
            cannot: it does not know whom.
        idle_s: without a packet of the peer, until a connection is given up.
    """

    hello_s: float = 5.0
    welcome_s: float = 5.0
    address_delay_s: float = 0.25
    preamble_s: float = 5.0
    silence_s: float = 0.4
    open_silence_s: float = 3.0
    probe_s: float = 2.0
    dead_s: float = 6.0
    renew_s: float = 10.0
    edge_keepalive_s: float = 10.0
    agent_keepalive_s: float = 5.0
    idle_s: float = 30.0


DEFAULT_TIMING = Timing()
