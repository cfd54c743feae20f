"""Entry point of an agent's worker: `python -m towonel.agent.worker CHANNEL`, which control starts."""

import gc
import signal
import socket
import sys

from towonel.agent.worker.worker import Worker
from towonel.relay.channel import Channel
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool


def main() -> None:
    """Work for the control whose channel has the descriptor of the first argument, until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # control decides
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    gc.freeze()
    Worker(channel, Loop(), Memory(PipePool())).run()


if __name__ == "__main__":
    main()
