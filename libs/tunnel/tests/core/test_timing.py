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
        "keepalive_s": 10,
        "idle_s": 30,
    }
