"""Entry point of an edge's worker: its last argument is the descriptor of its channel to control."""

import gc
import resource
import signal
import socket
import sys

from towonel.relay.hop.use_modules import use_for_worker


def main() -> None:
    """Run until control is gone, and the clients after it; control decides about signals."""
    use_for_worker(sys.argv[1:])
    from towonel.edge.worker.codec import VITAL  # noqa: PLC0415 of the compiled modules, if there are any
    from towonel.edge.worker.process import EdgeWorker  # noqa: PLC0415
    from towonel.relay.channel import Channel  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    worker = EdgeWorker(Channel(socket.socket(fileno=int(sys.argv[-1])), VITAL))
    gc.collect()
    gc.freeze()
    worker.run()


if __name__ == "__main__":
    main()
