"""Origin of a benchmark, behind every path: three ports, three behaviours.

    python origin.py            prints {"bulk": port, "echo": port, "conn": port} and serves

Each connection starts with a real ClientHello, as every client of a passthrough tunnel sends; what
follows is raw bytes, so that the figures are the path's and not those of a TLS library.
`bulk` sends until the client leaves, `echo` returns what comes, `conn` sends one byte and closes.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable

BLOCK = bytes(1 << 18)


def read_hello(client: socket.socket) -> bool:
    """Take the ClientHello record off the stream."""
    head = client.recv(5, socket.MSG_WAITALL)
    return len(head) == 5 and bool(client.recv(int.from_bytes(head[3:]), socket.MSG_WAITALL))


def bulk(client: socket.socket) -> None:
    while True:
        client.sendall(BLOCK)


def echo(client: socket.socket) -> None:
    while data := client.recv(65_536):
        client.sendall(data)


def conn(client: socket.socket) -> None:
    client.sendall(b"!")


def serve(client: socket.socket, behave: Callable[[socket.socket], None]) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, contextlib.suppress(OSError):
        if read_hello(client):
            behave(client)


def listen(behave: Callable[[socket.socket], None]) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, behave), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


if __name__ == "__main__":
    ports = {behave.__name__: listen(behave) for behave in (bulk, echo, conn)}
    print(json.dumps(ports), flush=True)
    threading.Event().wait()
