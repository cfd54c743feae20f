"""Flow worker of an agent: a process of its own, so that no datagram waits for a download of others.

Signals are control's business. When control is gone, so is the worker: flows have no connection to finish.
"""

import traceback
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
from towonel.relay.channel import Channel, ChannelClosed
from towonel.relay.flows.timer import Every
from towonel.relay.loop import READABLE, WRITABLE, Handler, Loop
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey

TICK_S: Final = 1.0
_MAX_TRACEBACK_CHARS: Final = 8 * 1024


class FlowWorker(Handler):
    """Flow worker; the handler of its channel to control.

    Args:
        channel: to control.
    """

    flows: Flows
    _carriers: CarrierListener

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()

    def run(self) -> None:
        """Carry datagrams until control is gone."""
        self._loop.add(self._channel.fileno(), self)
        self._loop.run()

    @override
    def on_ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self._channel.flush()
            if events & READABLE:
                for message in self._channel.receive():
                    self._act(CODEC.decode(message))
        except ChannelClosed:
            self._loop.stop()

    def _act(self, message: Message) -> None:
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
        self.flows = Flows(self._loop, limit, first_counter, self._resolve, self._report_crash)
        self._carriers = CarrierListener(self._loop, self.flows, self._report_crash)
        Every(self._loop.wheel, TICK_S, self._tick)
        self._send(Ready(self._carriers.port))

    def _tick(self) -> None:
        self.flows.tick()
        self._carriers.tick(self.flows.now)
        if self._channel.holds:
            return
        counters, refusals = self.flows.counters.take(*self.flows.describe_paths())
        self._send(counters)
        for refused in refusals:
            self._send(refused)

    def _resolve(self, service: ServiceKey) -> None:
        self._send(Resolve(name_service(service)))

    def _report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        text = "".join(traceback.format_exception(error))
        self._send(Crashed(text[-_MAX_TRACEBACK_CHARS:]))

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(*CODEC.encode(message))
        except ChannelClosed:
            self._loop.stop()
