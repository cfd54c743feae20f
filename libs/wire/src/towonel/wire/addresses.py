"""Addresses as text: a host, which may be an IP address, and a port."""

import re

LAST_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_port(text: str) -> bool:
    """Tell whether a text is a port that can be dialled: 1 to 65535."""
    return bool(_PORT.fullmatch(text)) and 0 < int(text) <= LAST_PORT
