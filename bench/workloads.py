"""Workloads of a benchmark on a path: bulk, echo and new connections, for some seconds.

    python workloads.py NAME PORT HOSTNAME CONNECTIONS SECONDS

prints one JSON object: `ops_s` and, where one operation has a duration, its percentiles in ms.
"""

import json
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable

MESSAGE = bytes(1024)  # one echo


def client_hello(hostname: str) -> bytes:
    """The first flight of a real TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=hostname)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake needs an answer")


class Worker:
    """One client connection, or one after another."""

    def __init__(self, port: int, hello: bytes, until: float) -> None:
        self.port, self.hello, self.until = port, hello, until
        self.amount = 0
        self.times_s: list[float] = []

    def dial(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(self.hello)
        return client

    def bulk(self) -> None:
        buffer = bytearray(1 << 20)
        with self.dial() as client:
            while time.monotonic() < self.until:
                self.amount += client.recv_into(buffer)

    def echo(self) -> None:
        with self.dial() as client:
            while (start := time.monotonic()) < self.until:
                client.sendall(MESSAGE)
                left = len(MESSAGE)
                while left:
                    left -= len(client.recv(left)) or _gone()
                self.times_s.append(time.monotonic() - start)

    def conn(self) -> None:
        while (start := time.monotonic()) < self.until:
            with self.dial() as client:
                assert client.recv(1) == b"!"
            self.times_s.append(time.monotonic() - start)


def measure(
    name: str, port: int, hostname: str, connections: int, seconds: float
) -> dict[str, float]:
    """Run one workload, and return its figures."""
    start = time.monotonic()
    workers = [Worker(port, client_hello(hostname), start + seconds) for _ in range(connections)]
    threads = [threading.Thread(target=_work(worker, name)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    times = sorted(t for worker in workers for t in worker.times_s)
    if not times:
        return {"gbit_s": sum(worker.amount for worker in workers) * 8 / took / 1e9}
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    return {"ops_s": len(times) / took, "p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def _gone() -> int:
    raise ConnectionError("the path closed the connection")


def _work(worker: Worker, name: str) -> Callable[[], None]:
    return {"bulk": worker.bulk, "echo": worker.echo, "conn": worker.conn}[name]


if __name__ == "__main__":
    _, name, port, hostname, connections, seconds = sys.argv
    figures = measure(name, int(port), hostname, int(connections), float(seconds))
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))
