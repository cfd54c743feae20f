"""Parsers and formats of port ranges: `2222`, `27015-27030`, `tcp:2222`, `udp:27015-27030`."""

import re

from towonel.api.ports import LAST_PORT, PortRange
from towonel.cli.errors import UsageError

_RANGE = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?", re.ASCII)


def parse_range(flag: str, text: str) -> tuple[int, int]:
    """Return the first and the last of `27015-27030`, or twice the one of `2222`.

    Raises:
        UsageError: naming the flag and the rule.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{flag}: write a port or a range of ports, such as 2222 or 27015-27030")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not 1 <= first <= LAST_PORT or not 1 <= last <= LAST_PORT:
        raise UsageError(f"{flag}: {text}: ports are 1 to {LAST_PORT}")
    if first > last:
        raise UsageError(f"{flag}: {text}: the first port is above the last")
    return first, last


def parse_ports(flag: str, text: str) -> PortRange:
    """Return the ports of `tcp:2222` or `udp:27015-27030`.

    Raises:
        UsageError: naming the flag and the rule.
    """
    match text.strip().split(":"):
        case ["tcp" | "udp" as protocol, ports]:
            first, last = parse_range(flag, ports)
            return PortRange(protocol=protocol, first_port=first, last_port=last)
        case _:
            raise UsageError(f"{flag}: write tcp:2222 or udp:27015-27030")


def format_ports(first: int, last: int) -> str:
    """Format ports as `parse_range` reads them."""
    return str(first) if first == last else f"{first}-{last}"


def format_range(ports: PortRange) -> str:
    """Format ports as `parse_ports` reads them."""
    return f"{ports.protocol}:{format_ports(ports.first_port, ports.last_port)}"
