"""Keys of sealed datagrams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.wire.udp.datagrams import HEAD_BYTES, TAG_BYTES, decode_head

SECRET = bytes(range(32))
# Of the secret above, index 7 and counter 0, in any implementation.
EDGE_PACKET = "0100000700000000000000005a79d673233db46a08fbb4f735ebb7182edffa0f7434"
AGENT_PACKET = "010000070000000000000000390b533a5f424276497c3865e577c80bec78627743d4"


def make_keys(index: int = 7, secret: bytes = SECRET) -> tuple[DatagramKeys, DatagramKeys]:
    """Return the keys of edge and agent."""
    return (
        DatagramKeys(index, secret, DatagramEnd.EDGE),
        DatagramKeys(index, secret, DatagramEnd.AGENT),
    )


def test_what_one_end_seals_the_other_opens_and_nobody_else() -> None:
    edge, agent = make_keys()
    packet = edge.seal(b"record")

    assert agent.open(packet) == b"record"
    assert edge.open(packet) is None, "a packet that is sent back to its sender"
    _, other = make_keys(secret=bytes(32))
    assert other.open(packet) is None


def test_the_form_is_frozen() -> None:
    edge, agent = make_keys()

    assert edge.seal(b"record").hex() == EDGE_PACKET
    assert agent.seal(b"record").hex() == AGENT_PACKET


def test_each_packet_has_a_counter_of_its_own() -> None:
    _, agent = make_keys()
    heads = [decode_head(agent.seal(b"record")) for _ in range(3)]

    assert heads == [(7, 0), (7, 1), (7, 2)]


@pytest.mark.branches
@given(st.integers(0, HEAD_BYTES + TAG_BYTES + 5), st.integers(1, 255))
def test_a_packet_that_was_changed_anywhere_is_not_opened(at: int, change: int) -> None:
    edge, agent = make_keys()
    packet = bytearray(edge.seal(b"record"))
    packet[at] ^= change

    assert agent.open(bytes(packet)) is None
