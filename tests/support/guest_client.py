"""TLS client that runs in a container, with nothing but Python: `guest_client.py HOST PORT NAME AUTHORITIES`.

It sends one line and prints the line that it gets.
"""

import socket
import ssl
import sys

if __name__ == "__main__":
    host, port, name, authorities = sys.argv[1:]
    context = ssl.create_default_context(cafile=authorities)
    with (
        socket.create_connection((host, int(port)), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=name) as tls,
        tls.makefile("rwb") as file,
    ):
        file.write(b"who\n")
        file.flush()
        print(file.readline().decode().strip())  # noqa: T201 its answer
