"""Timers: the defaults that docs/protocol.md names."""

from dataclasses import asdict

from towonel.tunnel.core.timing import DEFAULT_TIMING


def test_the_defaults_are_those_of_the_protocol() -> None:
    assert asdict(DEFAULT_TIMING) == {
        "hello_s": 5,
        "welcome_s": 5,
        "address_delay_s": 0.25,
        "preamble_s": 5,
        "silence_s": 0.4,
        "open_silence_s": 3,
        "probe_s": 2,
        "dead_s": 6,
        "renew_s": 10,
        "edge_keepalive_s": 10,
        "agent_keepalive_s": 5,
        "idle_s": 30,
    }
