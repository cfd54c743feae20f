"""QUIC connection with bounds, in memory: what a client of no scruples can make an edge hold."""

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.stream import QuicStreamReceiver, QuicStreamSender
from aioquic.tls import Epoch
from support.quic_pair import HERE, RESETTER, THERE, Pair
from support.raw_quic import CONTROL, PING, crypto_frame, frame, packet, stream_frame

from towonel.tunnel.core.bounds.receive_windows import (
    AGENT_SIZES,
    CONTROL_BYTES,
    CONTROL_RESERVE_BYTES,
    EDGE_SIZES,
    WindowSizes,
)
from towonel.tunnel.core.bounds.send_budget import MAX_STREAM_BYTES
from towonel.tunnel.quic.bounded_connection import MAX_RETAINED_ACKS, BoundedConnection
from towonel.tunnel.quic.bounded_stream import BoundedReceiver, BoundedSender
from towonel.tunnel.quic.checked_connection import (
    MAX_CRYPTO_BYTES,
    MAX_PEER_IDS,
    CheckedConnection,
)
from towonel.tunnel.quic.configuration import STREAMS_ALLOWED
from towonel.tunnel.quic.stateless_reset import StatelessResetter

KIB = 1024
SMALL = WindowSizes(64 * KIB, 128 * KIB, gaps=4, slides=True)


def test_everything_that_is_replaced_is_still_there_to_be_replaced() -> None:
    for ours, theirs in (
        (BoundedConnection, QuicConnection),
        (CheckedConnection, QuicConnection),
        (BoundedReceiver, QuicStreamReceiver),
        (BoundedSender, QuicStreamSender),
    ):
        overridden = {name for name, made in vars(ours).items() if hasattr(made, "__override__")}

        assert overridden
        assert {name for name in overridden if not hasattr(theirs, name)} == set()
    assert len(Pair().edge._frames) > 30


def test_the_peer_is_told_its_limits_and_may_open_what_it_may() -> None:
    pair = Pair().open()

    assert pair.client._remote_max_data == EDGE_SIZES.connection_bytes
    assert pair.client._remote_max_streams_bidi == pair.client._remote_max_streams_uni == 0
    assert pair.edge._remote_max_data == AGENT_SIZES.connection_bytes
    assert pair.edge._remote_max_streams_bidi == STREAMS_ALLOWED
    assert pair.edge._remote_max_streams_uni == 0


@pytest.mark.parametrize(
    ("stream_id", "offset", "code"),
    [
        (CONTROL, EDGE_SIZES.stream_bytes - 1, None),
        (CONTROL, EDGE_SIZES.stream_bytes, QuicErrorCode.FLOW_CONTROL_ERROR),
        (0, 0, QuicErrorCode.STREAM_LIMIT_ERROR),
        (2, 0, QuicErrorCode.STREAM_LIMIT_ERROR),
        (5, 0, QuicErrorCode.STREAM_STATE_ERROR),
    ],
)
def test_a_byte_beyond_a_limit_closes_and_one_within_it_is_all_that_is_kept(
    stream_id: int, offset: int, code: int | None
) -> None:
    pair = Pair().open()
    pair.attack(stream_frame(stream_id, offset, b"x"))

    assert pair.close_code == code
    assert len(pair.receiver._fragments.blocks) == (code is None)


def test_before_admission_limits_do_not_follow_what_is_delivered() -> None:
    pair = Pair().open()
    for offset in range(0, EDGE_SIZES.stream_bytes, KIB):
        pair.attack(stream_frame(CONTROL, offset, bytes(KIB)))
    pair.exchange()

    assert pair.close_code is None
    assert pair.client._streams[CONTROL].max_stream_data_remote == EDGE_SIZES.stream_bytes
    pair.attack(stream_frame(CONTROL, EDGE_SIZES.stream_bytes, b"x"))
    assert pair.close_code == QuicErrorCode.FLOW_CONTROL_ERROR


def test_after_admission_limits_follow_what_is_delivered_and_never_double() -> None:
    pair = Pair().open()
    pair.edge.widen(SMALL)
    sent, got = 0, 0
    for _ in range(40):
        pair.client.send_stream_data(CONTROL, bytes(20 * KIB))
        sent += 20 * KIB
        pair.exchange(4)
        while (event := pair.edge.next_event()) is not None:
            got += len(event.data) if isinstance(event, StreamDataReceived) else 0
        limit = pair.client._streams[CONTROL].max_stream_data_remote
        assert limit <= max(EDGE_SIZES.stream_bytes, got + SMALL.stream_bytes)
        beyond = max(EDGE_SIZES.connection_bytes, got + 128 * KIB)
        assert pair.client._remote_max_data <= beyond + sent + CONTROL_BYTES  # all on one stream
    pair.exchange(20)

    assert pair.close_code is None
    assert pair.receiver.starting_offset() == sent > 10 * SMALL.stream_bytes


def test_a_packet_that_opens_one_gap_too_many_is_dropped_and_may_come_again() -> None:
    pair = Pair().open()
    for offset in range(2, 2 + 2 * EDGE_SIZES.gaps, 2):
        pair.attack(stream_frame(CONTROL, offset, b"x"))
    before = pair.receiver.highest_offset
    refused = pair.client._packet_number
    pair.attack(stream_frame(CONTROL, 1000, b"x"))

    assert pair.receiver.highest_offset == before
    assert refused not in pair.edge._spaces[Epoch.ONE_RTT].received_packets
    pair.attack(stream_frame(CONTROL, 0, bytes(before)))
    assert pair.receiver.starting_offset() == before
    pair.attack(stream_frame(CONTROL, 1000, b"x"))
    assert pair.receiver.highest_offset == 1001
    assert pair.close_code is None


def test_a_reset_drops_what_was_kept_and_its_bytes_count_as_delivered() -> None:
    pair = Pair().open()
    pair.attack(stream_frame(CONTROL, 50_000, b"x"))
    assert len(pair.receiver._fragments.blocks) == 1
    pair.attack(frame(0x04, CONTROL, 0, 60_000), frame(0x04, CONTROL, 0, 60_000))

    assert (len(pair.receiver._fragments.blocks), len(pair.receiver._ranges)) == (0, 0)
    assert pair.edge._windows.delivered == 60_000
    assert pair.edge._windows._gaps == 0


@pytest.mark.parametrize(
    ("offset", "code"),
    [(1000, None), (MAX_CRYPTO_BYTES, QuicErrorCode.CRYPTO_BUFFER_EXCEEDED)],
)
def test_tls_messages_of_a_stranger_are_bounded_from_its_first_packet_on(
    offset: int, code: int | None
) -> None:
    pair = Pair()
    pair.to_edge([packet(pair.client, crypto_frame(offset, b"x"), epoch=Epoch.INITIAL)])

    assert pair.close_code == code


def test_fragments_of_tls_messages_are_bounded() -> None:
    pair = Pair()
    for offset in range(1000, 1200, 2):
        pair.to_edge([packet(pair.client, crypto_frame(offset, b"x"), epoch=Epoch.INITIAL)])

    assert len(pair.edge._crypto_streams[Epoch.INITIAL].receiver._ranges) <= 16


def test_an_acknowledgement_of_what_was_not_sent_closes() -> None:
    pair = Pair().open()
    newest = pair.edge._packet_number - 1
    pair.attack(frame(0x02, newest, 0, 0, 0))
    assert pair.close_code is None
    pair.attack(frame(0x02, newest + 1, 0, 0, 0))

    assert pair.close_code == QuicErrorCode.PROTOCOL_VIOLATION


def test_clients_streams_leave_credit_to_control_messages() -> None:
    pair = Pair().open()
    for stream_id in (5, 9, 13):
        pair.edge.send_stream_data(stream_id, b"x")
    pair.exchange()
    for stream_id in (5, 9, 13):
        pair.client.send_stream_data(stream_id, bytes(EDGE_SIZES.stream_bytes))
    pair.exchange(40)
    sent = EDGE_SIZES.connection_bytes - CONTROL_RESERVE_BYTES
    assert pair.client._remote_max_data_used == sent
    pair.client.send_stream_data(CONTROL, bytes(CONTROL_RESERVE_BYTES))
    pair.exchange(20)

    assert pair.receiver.starting_offset() == CONTROL_RESERVE_BYTES
    assert pair.edge._windows.control_delivered == CONTROL_RESERVE_BYTES


def test_connection_ids_that_are_issued_and_used_up_without_end_close() -> None:
    pair = Pair().open()
    number = 100
    while pair.close_code is None:
        number += 1
        body = encode_uint_var(number) + encode_uint_var(0) + bytes([8])
        pair.attack(bytes([0x18]) + body + number.to_bytes(8) + bytes(16))
        pair.edge.change_connection_id()
        pair.edge._retire_connection_ids.clear()  # as if each had been acknowledged

    assert pair.close_code == QuicErrorCode.CONNECTION_ID_LIMIT_ERROR
    assert len(pair.edge._peer_cid_sequence_numbers) <= MAX_PEER_IDS + 1


def test_acknowledgements_that_a_peer_never_confirms_are_forgotten() -> None:
    pair = Pair().open()
    for _ in range(4 * MAX_RETAINED_ACKS):
        pair.now += 0.01
        pair.attack(frame(PING))
        pair.edge.datagrams_to_send(now=pair.now + 0.005)

    assert len(pair.edge._spaces[Epoch.ONE_RTT].sent_packets) <= 2 * MAX_RETAINED_ACKS + 20


def test_what_is_sent_is_held_until_it_is_acknowledged() -> None:
    pair = Pair().open()
    budget = pair.edge.budget_of(CONTROL)
    assert pair.edge.send_budget.held == 0
    pair.edge.send_stream_data(CONTROL, bytes(10_000))
    assert (budget.held, pair.edge.send_budget.held) == (10_000, 10_000)
    assert budget.available == MAX_STREAM_BYTES - 10_000
    pair.exchange()

    assert (budget.held, pair.edge.send_budget.held) == (0, 0)


def test_what_was_sent_on_a_stream_is_dropped_with_its_reset() -> None:
    pair = Pair().open()
    pair.edge.send_stream_data(CONTROL, bytes(10_000))
    pair.edge.reset_stream(CONTROL, 0)
    pair.edge.reset_stream(CONTROL, 0)
    sender = pair.edge._streams[CONTROL].sender

    assert pair.edge.send_budget.held == len(sender._buffer) == 0
    pair.exchange()
    assert sender.is_finished


def test_an_ended_connection_keeps_next_to_nothing_and_answers_late_calls() -> None:
    pair = Pair().open()
    pair.edge.release()

    assert len(vars(pair.edge)) < 12
    assert pair.edge.get_peer_address() == THERE
    assert pair.edge.budget_of(CONTROL) is pair.edge.send_budget
    pair.edge.reset_stream(CONTROL, 0)
    with pytest.raises(ValueError, match="Cannot send"):
        pair.edge.send_stream_data(CONTROL, b"x")
    with pytest.raises(ValueError, match="Cannot stop"):
        pair.edge.stop_stream(CONTROL, 0)


def reason_of(connection: BoundedConnection) -> str | None:
    event = connection._close_event
    return None if event is None else event.reason_phrase


def test_a_client_believes_the_reset_of_its_edge_and_no_other() -> None:
    pair = Pair().open()
    edge_id = pair.client._peer_cid.cid
    forged = StatelessResetter(b"f" * 32, now=0).answer(bytes([0x40]) * 100, edge_id, now=0)
    reset = RESETTER.answer(bytes([0x40]) * 100, edge_id, now=0)
    assert forged
    assert reset
    pair.client.receive_datagram(forged, HERE, now=pair.now)
    assert reason_of(pair.client) is None
    pair.client.receive_datagram(reset, HERE, now=pair.now)

    assert "started again" in (reason_of(pair.client) or "")


def test_a_reset_after_the_close_does_not_hide_why_the_peer_closed() -> None:
    pair = Pair().open()
    edge_id = pair.client._peer_cid.cid
    pair.edge.close(error_code=77)
    pair.exchange(1)
    reset = RESETTER.answer(bytes([0x40]) * 100, edge_id, now=0)
    assert reset
    pair.client.receive_datagram(reset, HERE, now=pair.now)

    assert pair.client._close_event is not None
    assert pair.client._close_event.error_code == 77
