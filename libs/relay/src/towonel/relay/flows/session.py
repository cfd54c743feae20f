"""Flows' side of a session at one end: seals records, opens packets, and keeps track of the path between both ends."""

import errno
import secrets
from collections.abc import Callable
from typing import Final

from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.relay.core.datagram_path import (
    SIZES_V4,
    SIZES_V6,
    DatagramPath,
    PathState,
)
from towonel.relay.core.fragments import Fragmenter, Reassembler
from towonel.relay.core.peer_address import PeerAddress
from towonel.relay.core.replay_window import ReplayWindow
from towonel.relay.flows.carrier import Carrier
from towonel.relay.flows.outbox import Sender
from towonel.relay.flows.sockets import Endpoint
from towonel.wire.errors import ProtocolError
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import (
    HEAD_BYTES,
    OVERHEAD_BYTES,
    TAG_BYTES,
    TOKEN_BYTES,
    Record,
    RecordKind,
)

type Transmit = Callable[[bytes, Endpoint, Sender], None]

SECRETS: Final = 2  # that are accepted: a packet may be late when there is a newer one
_DATA: Final = RecordKind.DATA  # asked for with every packet
_SIZE_BYTES: Final = 2  # of a token: what the packet of the PING had
_PING_BYTES: Final = OVERHEAD_BYTES + TOKEN_BYTES


class DatagramLoss:
    """Counters of packets and records that were dropped.

    Attributes:
        by_reason: how many, by the reason's word.
    """

    def __init__(self) -> None:
        self.by_reason: dict[str, int] = {}

    def count(self, reason: str, times: int = 1) -> None:
        """Count some more."""
        self.by_reason[reason] = self.by_reason.get(reason, 0) + times


class ProbeSender:
    """Sender of packets that are as large as may pass: it is no loss that this machine does not send them.

    Args:
        loss: counts what finds no room all the same.
    """

    def __init__(self, loss: DatagramLoss) -> None:
        self._loss = loss

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note packets that were not sent."""
        if isinstance(error, BlockingIOError):
            self._loss.count("send_buffer_full", count)


class FlowSession:
    """One end of a session's flows.

    Args:
        end: this one.
        is_v6: whether packets go over IPv6.
        now: in seconds.
        transmit: sends a packet for a sender, as of `Outbox`.
        loss: counts what is dropped.
        first_counter: of packets under a secret; more than a process before this one has used.

    Attributes:
        path: between both ends.
        peer: address of the other end.
        carrier: for packets while UDP does not pass; None where there is none.
    """

    carrier: Carrier | None = None

    def __init__(
        self,
        end: DatagramEnd,
        now: float,
        transmit: Transmit,
        loss: DatagramLoss,
        *,
        is_v6: bool,
        first_counter: int = 0,
    ) -> None:
        self._end = end
        self._first_counter = first_counter
        self._transmit = transmit
        self._loss = loss
        self._probes = ProbeSender(loss)
        self._sent_at = now
        sizes = SIZES_V6 if is_v6 else SIZES_V4
        self.path = DatagramPath(sizes, now, opens=end is DatagramEnd.AGENT)
        self.peer = PeerAddress[Endpoint]()
        self._keys: DatagramKeys | None = None  # that seal
        self._accepted: dict[int, tuple[DatagramKeys, ReplayWindow]] = {}  # the older first
        self._fragmenter = Fragmenter()
        self._reassembler = Reassembler()
        self._nonce = secrets.token_bytes(TOKEN_BYTES - _SIZE_BYTES)

    @property
    def is_up(self) -> bool:
        """Whether packets pass."""
        return self.path.state is PathState.UP

    @property
    def needs_carrier(self) -> bool:
        """Whether nothing that is sent would get there."""
        return self.carrier is None and self.path.state is PathState.DOWN

    @property
    def indexes(self) -> tuple[int, ...]:
        """Indexes of the secrets that are accepted."""
        return tuple(self._accepted)

    def forget_carrier(self, carrier: Carrier) -> None:
        """Use a carrier no more, which has ended."""
        if self.carrier is carrier:
            self.carrier = None

    def add_secret(self, index: int, secret: bytes) -> int | None:
        """Accept packets under a secret, and return the index of one that is accepted no more.

        The agent seals with it from now on; the edge once the agent does.
        """
        keys = DatagramKeys(index, secret, self._end)
        keys.counter = self._first_counter
        self._accepted[index] = keys, ReplayWindow()
        if self._keys is None or self._end is DatagramEnd.AGENT:
            self._keys = keys
        if len(self._accepted) <= SECRETS:
            return None
        oldest = next(iter(self._accepted))
        del self._accepted[oldest]
        return oldest

    # What comes.

    def receive(self, packet: bytes, source: Endpoint | Carrier, now: float) -> Record | None:
        """Return the record of a packet that is about a flow; None for all others, which end here.

        One that came by a carrier says nothing about the path; answers may go there.
        """
        plain = self._open(packet, source, now)
        try:
            return None if plain is None else self._read(datagrams.decode_record(plain), now)
        except ProtocolError:
            self._loss.count("malformed")
            return None

    def _open(self, packet: bytes, source: Endpoint | Carrier, now: float) -> bytes | None:
        """Return the record of a packet that the other end has sealed, and has not come before."""
        head = datagrams.decode_head(packet)
        accepted = None if head is None else self._accepted.get(head[0])
        if head is None or accepted is None:
            self._loss.count("unknown_secret")
            return None
        keys, window = accepted
        if not window.is_new(head[1]):
            self._loss.count("replayed")
            return None
        plain = keys.open(packet)
        if plain is None:
            self._loss.count("invalid_signature")
            return None
        is_highest = window.note(head[1])
        is_newest = self._take_newest(keys) and is_highest
        if isinstance(source, Carrier):
            self.carrier = source
            return plain
        self.path.note_heard()
        if self.peer.note_packet(source, len(packet), is_newest=is_newest):
            self._nonce = secrets.token_bytes(TOKEN_BYTES - _SIZE_BYTES)
            self._ping(0, now)
        return plain

    def _take_newest(self, keys: DatagramKeys) -> bool:
        """Seal with the newest keys once the other end does; return whether these are the newest."""
        newest, _ = self._accepted[next(reversed(self._accepted))]
        if keys is newest:
            self._keys = keys
        return keys is newest

    def _read(self, record: Record, now: float) -> Record | None:
        if record.kind == _DATA:
            return record
        if record.kind == RecordKind.FRAGMENT:
            fragment = datagrams.decode_fragment(record.body)
            whole = self._reassembler.add(record.flow, fragment, now)
            self._count_incomplete()
            return None if whole is None else Record(record.flow, whole[0], whole[1:])
        if record.kind == RecordKind.PING:
            pong = datagrams.encode_record(0, RecordKind.PONG, record.body[:TOKEN_BYTES])
            self._send(pong, now)
        elif record.kind == RecordKind.PONG:
            self._take_pong(record.body)
        else:
            return record
        return None

    def _take_pong(self, token: bytes) -> None:
        if token[:-_SIZE_BYTES] == self._nonce:
            self.peer.validate()
            self.path.note_pong(int.from_bytes(token[-_SIZE_BYTES:]))

    # What is sent.

    def send(self, flow: int, kind: int, body: bytes, now: float) -> None:
        """Send a record: in a packet, or in some if it is too large for one, or by the carrier."""
        if self.carrier is not None and not self.is_up:
            self._send_by(self.carrier, datagrams.encode_record(flow, kind, body))
            return
        room = self.path.size - OVERHEAD_BYTES
        if len(body) <= room:
            self._send(datagrams.encode_record(flow, kind, body), now)
            return
        for fragment in self._fragmenter.cut(bytes((kind,)) + body, room):
            piece = datagrams.encode_fragment(fragment)
            self._send(datagrams.encode_record(flow, RecordKind.FRAGMENT, piece), now)

    def tick(self, now: float) -> None:
        """Ask the other end what is to be asked; it is called each second."""
        self._reassembler.expire(now)
        self._count_incomplete()
        for size in self.path.tick(now):
            self._ping(size, now)

    def _count_incomplete(self) -> None:
        """Count the records that were lost since the last call."""
        lost, self._reassembler.lost = self._reassembler.lost, 0
        if lost:
            self._loss.count("incomplete", lost)

    def ask(self, now: float) -> None:
        """Ask the other end for an answer, which hears of this address so."""
        self._ping(0, now)

    def _ping(self, size: int, now: float) -> None:
        padding = bytes(max(0, size - _PING_BYTES))
        token = self._nonce + (_PING_BYTES + len(padding)).to_bytes(_SIZE_BYTES)
        record = datagrams.encode_record(0, RecordKind.PING, token + padding)
        self._send(record, now, is_probe=bool(size))

    def _send_by(self, carrier: Carrier, record: bytes) -> None:
        assert self._keys is not None, "who has a carrier has a secret"
        try:
            carrier.send(self._keys.seal(record))
        except BlockingIOError:
            self._loss.count("carrier_full")

    def _send(self, record: bytes, now: float, *, is_probe: bool = False) -> None:
        keys, address = self._keys, self.peer.address
        if keys is None or address is None or not self.peer.may_send(_packet_bytes(record)):
            self._loss.count("no_address")
            return
        self._sent_at = now
        self.path.note_sent(now)
        self._transmit(keys.seal(record), address, self._probes if is_probe else self)

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note packets that were not sent, as of `Sender`."""
        if isinstance(error, BlockingIOError):
            self._loss.count("send_buffer_full", count)
            return
        if error.errno == errno.EMSGSIZE:
            self.path.note_too_large(self._sent_at)
        self._loss.count("send_failed", count)


def _packet_bytes(record: bytes) -> int:
    return HEAD_BYTES + TAG_BYTES + len(record)
