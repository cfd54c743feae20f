"""Configuration of aioquic."""

from support.tunnel import EDGE, PEM

from towonel.tunnel.core.timing import Timing
from towonel.tunnel.quic.configuration import STREAMS_ALLOWED, agent_connection, edge_configuration


def test_the_one_private_attribute_of_aioquic_is_still_there() -> None:
    connection = agent_connection(PEM)

    assert connection._local_max_streams_bidi.value == STREAMS_ALLOWED


def test_both_ends_are_idle_for_as_long_as_their_timing_says() -> None:
    timing = Timing(idle_s=7)

    assert edge_configuration(EDGE, PEM, timing).idle_timeout == 7
    assert agent_connection(PEM, timing)._configuration.idle_timeout == 7
