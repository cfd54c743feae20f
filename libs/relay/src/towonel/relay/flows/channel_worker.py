"""Worker that does what control says until that is gone: what the flow workers of edge and agent have in common.

Signals are control's business. Flows have no connection to finish, so that there is nothing to do without control.
"""

from collections.abc import Sequence
from typing import override

from towonel.relay.channel import Channel, ChannelClosed
from towonel.relay.loop import READABLE, WRITABLE, Handler, Loop
from towonel.relay.message_codec import MessageCodec


class ChannelWorker[M](Handler):
    """Worker of one loop; the handler of its channel to control.

    Args:
        channel: to control.
        codec: of what both say.
    """

    def __init__(self, channel: Channel, codec: MessageCodec[M]) -> None:
        self.channel = channel
        self.loop = Loop()
        self._codec = codec

    def act(self, message: M, descriptors: tuple[int, ...]) -> None:
        """Act on what control says; the descriptors are owned here."""
        raise NotImplementedError

    def run(self) -> None:
        """Run until control is gone."""
        self.loop.add(self.channel.fileno(), self)
        self.loop.run()

    @override
    def on_ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self.channel.flush()
            if events & READABLE:
                for message in self.channel.receive():
                    self.act(self._codec.decode(message), message.descriptors)
        except ChannelClosed:
            self.loop.stop()

    def send(self, message: M, descriptors: Sequence[int] = ()) -> None:
        """Send a message to control; its descriptors are closed here."""
        try:
            self.channel.send(*self._codec.encode(message), descriptors)
        except ChannelClosed:
            self.loop.stop()
