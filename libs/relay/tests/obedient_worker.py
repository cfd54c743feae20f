"""Worker of the supervisor's tests: does what its control says, one message after another."""

import os
import select
import signal
import socket
import sys

from towonel.relay.channel import Channel, ChannelClosed, ChannelMessage


def obey(channel: Channel, message: ChannelMessage) -> None:
    match message.kind:
        case "say":
            channel.send("said", message.fields)
        case "write":
            os.write(message.descriptors[0], b"written by the worker")
        case "exit":
            sys.exit(message.fields["code"])
        case "be silent":
            signal.pause()
        case "read no more":
            while not select.select([], [], [], 0.01)[0]:
                channel.send("alive", {})
        case "rave":
            os.write(channel.fileno(), b"no message")
        case _:
            sys.exit(f"{message.kind}: unknown")


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    channel.send("ready", {"pid": os.getpid()})
    while True:
        select.select([channel], [channel] if channel.holds else [], [], 0.01)
        channel.flush()
        if not channel.holds:
            channel.send("alive", {})
        for message in channel.receive():
            obey(channel, message)


if __name__ == "__main__":
    try:
        main()
    except ChannelClosed:
        sys.exit(0)
