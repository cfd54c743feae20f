"""Address of the other end, which may change, and is believed once it has answered."""

from towonel.relay.core.peer_address import PeerAddress

HOME, AWAY = ("192.0.2.1", 1), ("198.51.100.1", 2)


def test_an_address_gets_three_times_what_came_from_it_until_it_has_answered() -> None:
    peer = PeerAddress[tuple[str, int]]()
    assert not peer.may_send(1), "there is none"

    assert peer.note_packet(HOME, 100, is_newest=True), "it is to be asked"

    assert peer.address == HOME
    assert peer.may_send(200)
    assert not peer.may_send(101)
    assert peer.may_send(100)
    assert not peer.note_packet(HOME, 10, is_newest=True)
    assert peer.may_send(30)
    assert not peer.may_send(1)
    peer.validate()
    assert not peer.note_packet(HOME, 10, is_newest=True)
    assert peer.may_send(10_000)


def test_another_address_is_believed_no_more_than_the_first_was() -> None:
    peer = PeerAddress[tuple[str, int]]()
    peer.note_packet(HOME, 100, is_newest=True)
    peer.validate()

    assert peer.note_packet(AWAY, 100, is_newest=True)

    assert (peer.address, peer.is_valid) == (AWAY, False)
    assert not peer.may_send(301)


def test_a_packet_that_was_overtaken_changes_nothing() -> None:
    peer = PeerAddress[tuple[str, int]]()
    peer.note_packet(HOME, 100, is_newest=True)

    assert not peer.note_packet(AWAY, 100, is_newest=False)

    assert peer.address == HOME
    assert not peer.may_send(301)
