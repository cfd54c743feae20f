"""Entry point of an agent's flow worker: `python -m towonel.agent.flows [MODULES] CHANNEL`, which control starts."""

import gc
import resource
import signal
import socket
import sys

from towonel.relay.hop.use_modules import use_for_worker


def main() -> None:
    """Work for the control whose channel has the descriptor of the last argument, until it ends."""
    use_for_worker(sys.argv[1:])
    from towonel.agent.flows.process import FlowWorker  # noqa: PLC0415 of the compiled modules, if there are any
    from towonel.relay.channel import Channel  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # control decides
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # each flow of an agent has a socket
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    worker = FlowWorker(Channel(socket.socket(fileno=int(sys.argv[-1]))))
    gc.collect()
    gc.freeze()
    worker.run()


if __name__ == "__main__":
    main()
