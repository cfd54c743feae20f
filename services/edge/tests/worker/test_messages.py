"""Messages of control and worker: each comes out as it went in, and nothing else does."""

import pytest
from support.edge_front import START

from towonel.edge.worker.codec import decode, encode
from towonel.edge.worker.counters import Counters
from towonel.edge.worker.messages import (
    Accepted,
    ClientEnded,
    ClientHandedOver,
    ClientMoved,
    ClientsEnded,
    Crashed,
    Drain,
    Draining,
    IndexUnmapped,
    LanesWanted,
    Listen,
    Message,
    PortClosed,
    Ready,
    Refused,
    RouteIndex,
    Routes,
    RoutesFrozen,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionOffered,
    SessionServices,
    SessionWeight,
    Settled,
)
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateRefused,
    CertificateRemoved,
    CertificateWanted,
    ChallengeChanged,
    HubRouteChanged,
)
from towonel.relay.channel import Channel, ChannelMessage
from towonel.wire import cbor
from towonel.wire.errors import Code, ProtocolError

SOURCE, DESTINATION, TRACE = ("192.0.2.1", 1), ("192.0.2.2", 443), b"t" * 16
MESSAGES: list[Message] = [
    START,
    Listen(port=2222),
    PortClosed(2222),
    Routes(b"delta"),
    RoutesFrozen(),
    RouteIndex(is_new=True),
    SessionAdmitted(b"s" * 16, b"t" * 32, b"", 0.25),
    SessionServices(b"s" * 16, ["https:app.example.eu"]),
    SessionWeight(b"s" * 16, 7),
    SessionGoingAway(b"s" * 16),
    SessionEnded(b"s" * 16, Code.TENANT_REVOKED),
    Accepted(),
    ClientEnded(7),
    Drain(),
    Settled(),
    CertificateLoaded("app.example.eu", b"pem", is_exclusive=True),
    CertificateRemoved("app.example.eu"),
    CertificateRefused("app.example.eu", "a reason"),
    ChallengeChanged("app.example.eu", b"pem"),
    CertificateWanted("app.example.eu", "192.0.2.1"),
    HubRouteChanged("hub.example.eu", (("127.0.0.1", 8443),), b"p" * 32),
    Ready(),
    Counters(
        accepted=3,
        accept_errors={"EMFILE": 2},
        refused=[(32, 1)],
        services=[(b"t", "tcp:ssh", 1, 2, 3, 4)],
    ),
    LanesWanted(b"s" * 16, 2),
    ClientHandedOver(1, ("192.0.2.1", 1), ("192.0.2.2", 443), "app.example.eu", b"hello"),
    ClientMoved(1, ("192.0.2.1", 1), ("192.0.2.2", 443), b"hello"),
    ClientsEnded([(b"t" * 16, ("192.0.2.1", 1), None, None, None, None, None, 0, 1, 2, 3.0)], 4),
    SessionOffered(("192.0.2.1", 1), b"hello"),
    Refused(32, "not TLS", 5),
    Crashed("Traceback"),
    IndexUnmapped("no memory"),
    Draining(1, 2, 3),
]


def pass_on(message: Message) -> Message:
    """Return what comes of a message at the other end of a channel."""
    one, other = Channel.pair()
    end = Channel(other)
    one.send(*encode(message))
    (received,) = end.receive()
    one.close()
    end.close()
    return decode(received)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    found = pass_on(message)

    assert type(found) is type(message)
    assert cbor.encode(encode(found)) == cbor.encode(encode(message))


@pytest.mark.parametrize(
    "message",
    [
        ClientHandedOver(1, SOURCE, DESTINATION, "app.example.eu", b"hello", (TRACE, 1.0, 2.0)),
        ClientMoved(1, SOURCE, DESTINATION, b"hello", 2222, (TRACE, 1.0)),
        ClientMoved(1, SOURCE, DESTINATION, b"hello"),
        SessionOffered(SOURCE, b"hello"),
        HubRouteChanged("hub.example.eu", (("127.0.0.1", 8443), ("::1", 8443))),
    ],
)
def test_addresses_and_traces_come_out_as_the_tuples_that_they_are(message: Message) -> None:
    assert pass_on(message) == message


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (ChannelMessage("surprise", {}), Code.UNEXPECTED_MESSAGE),
        (ChannelMessage("client_ended", {}), Code.MALFORMED),
        (ChannelMessage("ready", {"more": 1}), Code.MALFORMED),
    ],
)
def test_what_is_no_message_is_refused(message: ChannelMessage, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(message)

    assert caught.value.code is code
