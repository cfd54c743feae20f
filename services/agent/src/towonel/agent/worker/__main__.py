"""Entry point of an agent's worker: `python -m towonel.agent.worker [MODULES] CHANNEL`, which control starts."""

import gc
import signal
import socket
import sys

from towonel.relay.hop.use_modules import use_for_worker


def main() -> None:
    """Work for the control whose channel has the descriptor of the last argument, until it ends."""
    use_for_worker(sys.argv[1:])
    from towonel.agent.worker.worker import Worker  # noqa: PLC0415 of the compiled modules, if there are any
    from towonel.relay.channel import Channel  # noqa: PLC0415
    from towonel.relay.loop import Loop  # noqa: PLC0415
    from towonel.relay.memory import Memory  # noqa: PLC0415
    from towonel.relay.pipes import PipePool  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # control decides
    channel = Channel(socket.socket(fileno=int(sys.argv[-1])))
    gc.freeze()
    Worker(channel, Loop(), Memory(PipePool())).run()


if __name__ == "__main__":
    main()
