"""Frames out of place and forged ones: the lane is closed by their code, at either end."""

import socket
from collections.abc import Iterator

import pytest
from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.lane_peers import LanePeer, accept_lane, receive
from support.relay import SECRET, ClientUse, Relay, tcp_pair

from towonel.relay.agent_lanes import LaneTarget
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import HEAD, FrameType

OPEN, DATA, ACCEPT, REJECT, END, RESET = (
    FrameType.OPEN,
    FrameType.DATA,
    FrameType.ACCEPT,
    FrameType.REJECT,
    FrameType.END,
    FrameType.RESET,
)


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


def frame(kind: FrameType, use: int, payload: bytes = b"") -> bytes:
    return lanes.encode_head(kind, use, len(payload)) + payload


def fail(kind: FrameType, use: int) -> bytes:
    return lanes.encode_code(kind, use, Code.ORIGIN_RESET)


def open_use(relay: Relay, *, repeatable: bool = False) -> tuple[ClientUse, socket.socket]:
    """Open a use at the edge, and return it with its client's socket."""
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    opened = relay.calls.call(
        lambda: relay.edge.session.open(b"\x00hello", use, repeatable=repeatable)
    )
    assert opened
    return use, client


AT_EDGE = {
    "OPEN at the edge": (frame(OPEN, 1, b"x" * 20), Code.UNEXPECTED_MESSAGE),
    "DATA before ACCEPT": (frame(DATA, 1, b"x"), Code.UNEXPECTED_MESSAGE),
    "END before ACCEPT": (frame(END, 1), Code.UNEXPECTED_MESSAGE),
    "ACCEPT of another use": (frame(ACCEPT, 2), Code.UNEXPECTED_MESSAGE),
    "ACCEPT twice": (frame(ACCEPT, 1) * 2, Code.UNEXPECTED_MESSAGE),
    "REJECT after ACCEPT": (frame(ACCEPT, 1) + fail(REJECT, 1), Code.UNEXPECTED_MESSAGE),
    "ACCEPT after DATA": (
        frame(ACCEPT, 1) + frame(DATA, 1, b"x") + frame(ACCEPT, 1),
        Code.UNEXPECTED_MESSAGE,
    ),
    "an unknown type": (HEAD.pack(9 << 28), Code.UNEXPECTED_MESSAGE),
    "a length of 16 MiB": (HEAD.pack(DATA << 28 | 1 << 24 | 0xFFFFFF), Code.TOO_LARGE),
    "DATA of 1 MiB and a byte": (HEAD.pack(DATA << 28 | 1 << 24 | 0x100001), Code.TOO_LARGE),
    "16 MiB of DATA after ACCEPT": (
        frame(ACCEPT, 1) + HEAD.pack(DATA << 28 | 1 << 24 | 0xFFFFFF),
        Code.TOO_LARGE,
    ),
    "DATA without bytes": (frame(ACCEPT, 1) + frame(DATA, 1), Code.MALFORMED),
    "a PING of a use": (frame(FrameType.PING, 1, bytes(8)), Code.MALFORMED),
}


@pytest.mark.parametrize(("data", "code"), AT_EDGE.values(), ids=AT_EDGE)
def test_an_agents_frame_out_of_place_closes_the_lane_and_resets_the_client(
    relay: Relay, agent_peer: LanePeer, data: bytes, code: Code
) -> None:
    _, client = open_use(relay)
    agent_peer.sock.sendall(data)

    assert agent_peer.is_closed()
    with client, pytest.raises(ConnectionResetError):
        receive(client, 2)
    relay.wait(lambda: relay.edge.lanes.lost == {code: 1})
    assert relay.edge.session.in_use == 0


def test_data_after_end_closes_the_lane_and_leaves_the_client_what_was_whole(
    relay: Relay, agent_peer: LanePeer
) -> None:
    _, client = open_use(relay)
    agent_peer.sock.sendall(frame(ACCEPT, 1, b"all") + frame(END, 1) + frame(DATA, 1, b"x"))

    assert agent_peer.is_closed()
    with client:
        assert client.recv(10, socket.MSG_WAITALL) == b"all"
    relay.wait(lambda: relay.edge.lanes.lost == {Code.UNEXPECTED_MESSAGE: 1})


AT_AGENT = {
    "DATA before OPEN": frame(DATA, 0, b"x"),
    "ACCEPT at the agent": frame(ACCEPT, 1),
    "RESET before OPEN": fail(RESET, 1),
    "a length of 16 MiB": HEAD.pack(OPEN << 28 | 1 << 24 | 0xFFFFFF),
    "an OPEN above its bound": HEAD.pack(OPEN << 28 | 1 << 24 | 20_000),
}


@pytest.mark.parametrize("data", AT_AGENT.values(), ids=AT_AGENT)
def test_an_edges_frame_out_of_place_closes_the_lane(
    relay: Relay, edge_peer: LanePeer, data: bytes
) -> None:
    edge_peer.sock.sendall(data)

    assert edge_peer.is_closed()
    assert relay.agent.opened == []


@pytest.mark.parametrize("at", [4, 5, 10, 30, -1], ids=["flags", "start", "middle", "late", "seal"])
def test_an_open_that_was_changed_reaches_no_origin_and_closes_the_lane(
    relay: Relay, edge_peer: LanePeer, at: int
) -> None:
    data = bytearray(edge_peer.open(1, b"\x00" + b"the preamble and the first bytes"))
    data[at] ^= 1
    edge_peer.sock.sendall(data)

    assert edge_peer.is_closed()
    assert relay.agent.opened == []
    relay.wait(lambda: relay.agent.lanes.lost.get(Code.INVALID_SIGNATURE) == 1)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(16)], ids=["nothing", "short", "a seal"])
def test_an_open_without_content_closes_the_lane(
    relay: Relay, edge_peer: LanePeer, payload: bytes
) -> None:
    edge_peer.sock.sendall(HEAD.pack(OPEN << 28 | 1 << 24 | len(payload)) + payload)

    assert edge_peer.is_closed()
    assert relay.agent.opened == []


def test_a_sealed_open_without_flags_closes_the_lane(relay: Relay, edge_peer: LanePeer) -> None:
    edge_peer.sock.sendall(edge_peer.open(1, b""))

    assert edge_peer.is_closed()
    relay.wait(lambda: relay.agent.lanes.lost.get(Code.MALFORMED) == 1)


def reject_uses(peer: LanePeer, relay: Relay, first: int, last: int) -> list[bytes]:
    """Open uses that are all rejected, and return their OPENs."""
    sent = []
    for use in range(first, last + 1):
        relay.agent.origins.append(None)
        sent.append(peer.open(use, b"\x00content"))
        peer.sock.sendall(sent[-1])
        assert peer.read_frame() == (REJECT, use & 15, Code.ORIGIN_REFUSED.to_bytes(2))
        peer.sock.sendall(fail(RESET, use))
    return sent


def test_the_17th_use_has_a_fresh_nonce_and_an_open_of_the_first_is_not_one_of_it(
    relay: Relay, edge_peer: LanePeer
) -> None:
    sent = reject_uses(edge_peer, relay, 1, 16)

    assert len(set(sent)) == 16
    assert sent[0][:4] == edge_peer.open(17, b"\x00content")[:4]  # the heads are the same
    assert sent[0] != edge_peer.open(17, b"\x00content")
    edge_peer.sock.sendall(sent[0])
    assert edge_peer.is_closed()
    assert len(relay.agent.opened) == 16


def test_the_17th_use_is_opened(relay: Relay, edge_peer: LanePeer) -> None:
    assert len(reject_uses(edge_peer, relay, 1, 40)) == 40
    assert relay.agent.lane.state.use == 40


def test_an_open_of_one_lane_is_none_of_another(relay: Relay, edge_peer: LanePeer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = LaneTarget(b"2" * 16, SECRET, EDGE_ID, CERTIFICATE_HASH, server.getsockname())
        relay.calls.call(lambda: relay.agent.lanes.add_session(target, 1))
        other = accept_lane(server)
    with other.sock:
        other.sock.sendall(edge_peer.open(1, b"\x00content"))

        assert other.is_closed()
    assert relay.agent.opened == []


def test_a_late_reset_of_the_use_before_is_dropped_and_one_of_an_older_use_is_not(
    relay: Relay, agent_peer: LanePeer
) -> None:
    """The agent's RESET crossed the edge's END; then it comes while the next use is open."""
    for use in (1, 2):
        _, client = open_use(relay)
        with client:
            assert agent_peer.read_frame()[:2] == (OPEN, use)
            agent_peer.sock.sendall(frame(ACCEPT, use, b"answer") + frame(END, use))
            assert client.recv(6, socket.MSG_WAITALL) == b"answer"
        assert agent_peer.read_frame()[:2] == (END, use)
        relay.wait(lambda: len(relay.edge.session.idle) == 1)
    _, client = open_use(relay)
    agent_peer.sock.sendall(fail(RESET, 2) + frame(ACCEPT, 3, b"third"))
    with client:
        assert client.recv(5, socket.MSG_WAITALL) == b"third"
        agent_peer.sock.sendall(fail(RESET, 1))
        assert agent_peer.is_closed()
    relay.wait(lambda: relay.edge.lanes.lost == {Code.UNEXPECTED_MESSAGE: 1})


def test_pings_stand_between_all_frames(relay: Relay, agent_peer: LanePeer) -> None:
    ping = frame(FrameType.PING, 0, b"12345678")
    _, client = open_use(relay)
    agent_peer.sock.sendall(ping + frame(ACCEPT, 1) + ping + frame(DATA, 1, b"x") + ping)

    with client:
        assert client.recv(1) == b"x"
    agent_peer.sock.sendall(frame(END, 1) + ping)
    assert agent_peer.read_frame()[0] is OPEN
    assert agent_peer.read_frame()[0] is END
    relay.wait(lambda: len(relay.edge.session.idle) == 1)
