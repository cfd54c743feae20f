"""Messages of an agent's control and worker: what one encodes the other takes."""

import pytest

from towonel.agent.core.tls.origin_tls_fields import MAX_PATH_BYTES
from towonel.agent.worker import messages
from towonel.agent.worker.messages import Counters, Message, Origins, Session, SessionEnded
from towonel.relay.channel import MAX_MESSAGE_BYTES, ChannelMessage
from towonel.wire import cbor
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import MAX_HOSTNAME_CHARS

ADDRESS = ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65_535, 0, 4_294_967_295)
LONG = ("https", "x" * MAX_HOSTNAME_CHARS)


def travel(message: Message, **more: object) -> Message:
    fields = cbor.decode(cbor.encode({**messages.encode(message), **more}))
    assert isinstance(fields, dict)
    return messages.decode(ChannelMessage(message.kind, fields))


@pytest.mark.parametrize(
    "message",
    [
        Session(
            *(b"s" * 16, b"k" * 32, b"e" * 32, b"c" * 32),
            *("fe80::1%2", 443, "e.eu", ("lane",)),
            wanted=2,
        ),
        SessionEnded(b"s" * 16, None),
        Origins(
            (
                (("https", "a.eu"), True, None, 0, 0, None, ("app.internal", None, True)),
                (("tcp", "b"), False, (ADDRESS,), 300, 0, (1, 3), None),
            )
        ),
        Counters(errors=((0x63, 2), (0x64, 1))),
    ],
)
def test_messages_come_out_as_they_went_in(message: Message) -> None:
    assert travel(message) == message
    assert travel(message, newer=1) == message


def test_unknown_messages_and_missing_fields_are_refused() -> None:
    for kind, code in (("junk", Code.UNEXPECTED_MESSAGE), ("session", Code.MALFORMED)):
        with pytest.raises(ProtocolError) as caught:
            messages.decode(ChannelMessage(kind, {}))
        assert caught.value.code is code


def test_as_many_origins_as_go_into_a_message_fit() -> None:
    tls = LONG[1], "x" * MAX_PATH_BYTES, True
    facts = (LONG, True, (ADDRESS,), 86_400, 2**40, (65_000, 65_535), tls)
    origins = Origins((facts,) * messages.ORIGINS_PER_MESSAGE)

    assert len(cbor.encode([origins.kind, messages.encode(origins)])) < MAX_MESSAGE_BYTES
