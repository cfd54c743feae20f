"""Worker of an agent in a thread of the test, with the channel and one session's lanes in the test's hands."""

import select
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from dataclasses import dataclass

from support.edge_identity import CERTIFICATE_HASH, EDGE_ID
from support.engine import engine_of_test
from support.lane_peers import LanePeer, accept_lane
from support.relay import SECRET, SESSION, WAIT_S
from support.tls_lanes import accept_tls_lane
from support.tunnel import PREAMBLE

from towonel.agent.data_plane.client_memory import ClientMemory
from towonel.agent.worker import messages
from towonel.agent.worker.messages import Message, OriginFacts, Ports, Session, Start, TlsFacts
from towonel.agent.worker.worker import Worker
from towonel.relay.channel import Channel
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.hop.choice import Engine
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire import lane_open
from towonel.wire.errors import Code
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import FrameType, decode_code, encode_head
from towonel.wire.names import Hostname, ServiceKey, ServiceKind


def facts(
    name: str,
    *addresses: tuple[str, int],
    kind: ServiceKind = ServiceKind.HTTPS,
    proxied: bool = False,
    named: bool = False,
    idle_s: float = 0,
    ports: Ports | None = None,
    tls: TlsFacts | None = None,
) -> OriginFacts:
    """An origin of a service, by its addresses or by a name that control resolves."""
    found = tuple((*a, 0, 0) if ":" in a[0] else a for a in addresses)
    return ((kind.value, name), proxied, None if named else found, idle_s, 0, ports, tls)


@dataclass
class LaneClient:
    """Client whose connection is a use of a lane; what is said here is the edge's part."""

    lane: LanePeer
    use: int

    def answer(self) -> tuple[FrameType, bytes]:
        """The next frame."""
        kind, _, payload = self.lane.read_frame()
        return kind, payload

    def refusal(self) -> Code:
        """The code of the REJECT that must come; the edge's last frame answers it."""
        kind, payload = self.answer()
        assert kind is FrameType.REJECT, kind
        self.reset(Code.NORMAL)
        return decode_code(payload)

    def read_all(self) -> bytes:
        """All bytes to the END."""
        data = b""
        while True:
            kind, payload = self.answer()
            if kind is FrameType.END:
                return data
            assert kind in {FrameType.ACCEPT, FrameType.DATA}, kind
            data += payload

    def send(self, data: bytes) -> None:
        self.lane.sock.sendall(encode_head(FrameType.DATA, self.use, len(data)) + data)

    def end(self) -> None:
        self.lane.sock.sendall(encode_head(FrameType.END, self.use, 0))

    def reset(self, code: Code) -> None:
        head = encode_head(FrameType.RESET, self.use, 2)
        self.lane.sock.sendall(head + code.to_bytes(2))


class AgentWorker:
    """Running worker, to which one session has two lanes."""

    def __init__(
        self,
        *origins: OriginFacts,
        timeout_s: float = 5,
        most: int = 10,
        engine: Engine | None = None,
        kind: LaneKind = LaneKind.PLAIN,
    ) -> None:
        self.channel, other = Channel.pair()
        self._heard: list[Message] = []
        self._uses = 0
        self._thread = ThreadPoolExecutor(1)
        self.memory = Memory(PipePool())
        self.worker = Worker(Channel(other), Loop(), self.memory, report_s=0.05)
        self.running = self._thread.submit(self.worker.run)
        self.clients = ClientMemory(2)
        engine = engine or engine_of_test()
        start = Start(timeout_s, most, WAIT_S, workers=2, engine=engine.value)
        self.tell(start, [self.clients.duplicate()])
        self.tell(messages.Origins(origins))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.lanes = self._take_lanes(2, kind)

    def _take_lanes(self, count: int, kind: LaneKind) -> list[LanePeer]:
        host, port = self.server.getsockname()
        identity = SESSION, SECRET, EDGE_ID, CERTIFICATE_HASH
        self.tell(Session(*identity, host, port, "edge.example.eu", (kind.value,), wanted=count))
        accept = accept_lane if kind is LaneKind.PLAIN else accept_tls_lane
        return [accept(self.server) for _ in range(count)]

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self.channel.send(message.kind, messages.encode(message), descriptors)

    def hear[M: Message](self, kind: type[M], when: Callable[[M], object] = lambda _: True) -> M:
        """Wait for a message of a kind, and return it."""
        while True:
            for message in self._heard:
                if isinstance(message, kind) and when(message):
                    self._heard.remove(message)
                    return message
            ready, _, _ = select.select([self.channel], [], [], WAIT_S)
            assert ready, f"there is no {kind.kind}"
            self._heard += map(messages.decode, self.channel.receive())

    def open(
        self,
        hostname: str,
        first: bytes = b"hello",
        lane: int = 0,
        use: int = 1,
        protocol: str | None = None,
    ) -> LaneClient:
        """Open a use of a lane for a client."""
        preamble = replace(
            PREAMBLE,
            service=ServiceKey(ServiceKind.HTTPS, hostname),
            authority=Hostname(hostname),
            protocol=protocol,
        )
        return self.open_with(lane_open.encode(LaneOpen(preamble, first)), lane, use)

    def open_tcp(
        self, name: str, lane: int = 0, use: int = 1, port: int | None = None
    ) -> LaneClient:
        """Open a use of a lane for a client of a TCP service, which has said nothing so far."""
        key = ServiceKey(ServiceKind.TCP, name)
        preamble = replace(PREAMBLE, service=key, authority=None, port=port)
        return self.open_with(lane_open.encode(LaneOpen(preamble, b"")), lane, use)

    def open_with(self, content: bytes, lane: int = 0, use: int = 1) -> LaneClient:
        """Open a use with any content."""
        peer = self.lanes[lane]
        peer.sock.sendall(peer.open(use, content))
        return LaneClient(peer, use)

    def close(self) -> None:
        """End control, and wait for the worker, which raises what it raised."""
        self.channel.close()
        for lane in self.lanes:
            lane.sock.close()
        self.server.close()
        self.running.result(WAIT_S)
        self._thread.shutdown()
        self.clients.close()
