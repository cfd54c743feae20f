"""Packet relay: a program in a router's namespace, through which all packets between public and home go.

    python -m support.chaos.packet_relay SEED

It makes two TUN devices. What the kernel sends into one of them is impaired, and comes out of the same again, so that
the kernel forwards it. Each line of its input is a JSON object with what is to change: an impairment by direction, or
`outside`, the prefix that addresses at home have for others. It answers each with its counts, and ends with its input.
"""

import fcntl
import ipaddress
import json
import os
import select
import struct
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from support.chaos.impairment import DelayQueue, Impairment
from support.chaos.translation import DESTINATION_AT, SOURCE_AT, has_prefix, translate

TO_PUBLIC, TO_HOME = "to_public", "to_home"  # directions, and names of the devices
INSIDE, OUTSIDE = "10.99.1.0", "10.99.2.0"
BATCH, MAX_BYTES = 64, 65_536
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


def open_tun(name: str) -> int:
    """Make a TUN device, which lives as long as its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(
        descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    )
    return descriptor


def prefix_of(network: str) -> bytes:
    """Return the first three bytes of an address."""
    return ipaddress.IPv4Address(network).packed[:3]


@dataclass
class Prefixes:
    """Prefix of the addresses at home, and the one that others see."""

    inside: bytes
    outside: bytes

    def change(self, direction: str, packet: bytes) -> bytes | None:
        """Return a packet as it is on the other side; None where nobody there has its address."""
        if packet[0] >> 4 != 4:
            return None
        if direction == TO_PUBLIC:
            return translate(packet, SOURCE_AT, self.outside)
        if not has_prefix(packet, DESTINATION_AT, self.outside):
            return None
        return translate(packet, DESTINATION_AT, self.inside)


@dataclass
class Direction:
    """One direction: its device and its queue."""

    name: str
    device: int
    queue: DelayQueue

    def receive(self, prefixes: Prefixes) -> None:
        """Take what the kernel sends."""
        for _ in range(BATCH):
            try:
                packet = os.read(self.device, MAX_BYTES)
            except BlockingIOError:
                return
            changed = prefixes.change(self.name, packet)
            if changed is not None:
                self.queue.put(changed, time.monotonic())

    def send_due(self) -> None:
        """Give the kernel what has been held for long enough."""
        for packet in self.queue.take_due(time.monotonic()):
            try:
                os.write(self.device, packet)
            except OSError:
                self.queue.counts["unsent"] += 1


class PacketRelay:
    """Relay of both directions."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        names = (TO_PUBLIC, TO_HOME)
        self._directions = {
            name: Direction(name, open_tun(name), DelayQueue(rng)) for name in names
        }
        self._prefixes = Prefixes(prefix_of(INSIDE), prefix_of(OUTSIDE))

    def run(self) -> None:
        """Relay until the input ends."""
        poll = select.epoll()
        by_descriptor = {each.device: each for each in self._directions.values()}
        for descriptor in (0, *by_descriptor):
            poll.register(descriptor, select.EPOLLIN)
        print(json.dumps({}), flush=True)  # noqa: T201 it is ready
        while True:
            for descriptor, _ in poll.poll(self._timeout_s()):
                if descriptor:
                    by_descriptor[descriptor].receive(self._prefixes)
                elif not (line := sys.stdin.readline()):
                    return
                else:
                    self._obey(json.loads(line))
            for each in self._directions.values():
                each.send_due()

    def _timeout_s(self) -> float | None:
        due = [each.queue.deadline for each in self._directions.values()]
        first = min((at for at in due if at is not None), default=None)
        return None if first is None else max(0.0, first - time.monotonic())

    def _obey(self, changes: dict[str, Any]) -> None:
        for name, values in changes.items():
            if name == "outside":
                self._prefixes.outside = prefix_of(values)
            else:
                self._directions[name].queue.impairment = Impairment(**values)
        counts = {name: each.queue.counts for name, each in self._directions.items()}
        print(json.dumps(counts), flush=True)  # noqa: T201 the answer


if __name__ == "__main__":
    PacketRelay(int(sys.argv[1])).run()
