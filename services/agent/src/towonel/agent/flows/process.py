"""Flow worker of an agent: a process of its own, so that no datagram waits for a download of others."""

from typing import Final, override

from towonel.agent.flows.carriers import CarrierListener
from towonel.agent.flows.flows import Flows
from towonel.agent.flows.messages import CODEC, Message, Ready, Session, SessionSecret, Start
from towonel.agent.worker.messages import (
    Crashed,
    Drain,
    Origins,
    Resolve,
    Resolved,
    SessionEnded,
    name_service,
    to_key,
)
from towonel.relay.channel import Channel, describe_crash
from towonel.relay.flows.channel_worker import ChannelWorker
from towonel.relay.flows.timer import Every
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey

TICK_S: Final = 1.0


class FlowWorker(ChannelWorker[Message]):
    """Flow worker.

    Args:
        channel: to control.
    """

    flows: Flows
    _carriers: CarrierListener

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, CODEC)

    @override
    def act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case Start(limit, first_counter):
                self._start(limit, first_counter)
            case Origins(origins, ended):
                self.flows.remove_origins(ended)
                self.flows.set_origins(origins)
            case Resolved(service, addresses):
                self.flows.learn(to_key(service), addresses)
            case Session(session_id, address):
                self.flows.add_session(session_id, address)
            case SessionSecret(session_id, index, secret):
                self.flows.add_secret(session_id, index, secret)
            case SessionEnded(session_id):
                self.flows.end_session(session_id)
            case Drain():
                self.flows.drain()
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control does not send this")

    def _start(self, limit: int, first_counter: int) -> None:
        self.flows = Flows(self.loop, limit, first_counter, self._resolve, self._report_crash)
        self._carriers = CarrierListener(self.loop, self.flows, self._report_crash)
        Every(self.loop.wheel, TICK_S, self._tick)
        self.send(Ready(self._carriers.port))

    def _tick(self) -> None:
        self.flows.tick()
        self._carriers.tick(self.flows.now)
        if self.channel.holds:
            return
        counters, refusals = self.flows.counters.take(*self.flows.describe_paths())
        self.send(counters)
        for refused in refusals:
            self.send(refused)

    def _resolve(self, service: ServiceKey) -> None:
        self.send(Resolve(name_service(service)))

    def _report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        self.send(Crashed(describe_crash(error)))
