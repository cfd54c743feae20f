"""TLS origin that runs in a container, with nothing but Python: `guest_origin.py NAME PORT CHAIN KEY [proxied]`.

It answers each line with who it is, and with the client's address: that of the PROXY v2 header where connections
begin with one. `bytes N` is answered with so many bytes.
"""

import ipaddress
import socket
import socketserver
import ssl
import struct
import sys
from typing import override

NAME, PORT, CHAIN, KEY, *MODE = sys.argv[1:]
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CHAIN, KEY)


def read_proxy_header(sock: socket.socket) -> str:
    """Return the source of a PROXY v2 header over TCP and IPv4, and take it off the connection."""
    head = sock.recv(16, socket.MSG_WAITALL)
    assert head[:13] == b"\r\n\r\n\x00\r\nQUIT\n\x21", head
    body = sock.recv(struct.unpack("!H", head[14:])[0], socket.MSG_WAITALL)
    return str(ipaddress.ip_address(body[:4]))


class Connection(socketserver.BaseRequestHandler):
    """One connection, until its client ends it."""

    @override
    def handle(self) -> None:
        source = read_proxy_header(self.request) if MODE else self.client_address[0]
        with (
            CONTEXT.wrap_socket(self.request, server_side=True) as tls,
            tls.makefile("rwb") as file,
        ):
            for line in file:
                word, _, count = line.decode().strip().partition(" ")
                answer = bytes(int(count)) if word == "bytes" else f"{NAME} {source}\n".encode()
                file.write(answer)
                file.flush()


class Server(socketserver.ThreadingTCPServer):
    """Server of such connections."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("0.0.0.0", int(PORT)), Connection).serve_forever()  # noqa: S104 in a container
