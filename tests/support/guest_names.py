"""Name server that runs in a namespace, with nothing but Python: `guest_names.py ADDRESS NAME=ADDRESS...`.

A name covers all below it; the longest one counts. Only addresses of IPv4 are answered: anything else is empty.
"""

import socket
import sys

A, HAS_NO_ERROR, IS_ANSWER = 1, b"\x00\x00", 0x8180


def read_question(query: bytes) -> tuple[str, int, int]:
    """Return the name, the type and where the question ends."""
    labels, at = list[str](), 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    return ".".join(labels), int.from_bytes(query[at + 1 : at + 3]), at + 5


def find_address(name: str, table: dict[str, str]) -> str | None:
    """Return the address of the longest name of the table that covers this one."""
    covering = [each for each in table if f".{name}".endswith(f".{each}")]
    return table[max(covering, key=len)] if covering else None


def answer(query: bytes, table: dict[str, str]) -> bytes:
    """Return the answer to a query."""
    name, kind, end = read_question(query)
    address = find_address(name, table) if kind == A else None
    head = (
        query[:2]
        + IS_ANSWER.to_bytes(2)
        + b"\x00\x01"
        + bytes([0, address is not None])
        + b"\x00" * 4
    )
    record = b"\xc0\x0c\x00\x01\x00\x01" + (10).to_bytes(4) + b"\x00\x04"
    found = record + socket.inet_aton(address) if address else b""
    return head + query[12:end] + found


if __name__ == "__main__":
    own, *pairs = sys.argv[1:]
    names = dict(pair.split("=") for pair in pairs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((own, 53))
        while True:
            received, client = sock.recvfrom(4096)
            sock.sendto(answer(received, names), client)
