"""Addresses as text: a host, which may be an IP address, and a port."""

import re

LAST_PORT = 65_535
EDGE_SERVER_NAME = "edge.towonel.internal"  # no edge needs a public name: the pin is what counts
# Where each program serves its health: the variable, and the original's address where that is not set. A health check
# of a container reads no other setting.
HEALTH_LISTENERS = {
    "hub": ("TOWONEL_HUB_HEALTH_LISTEN_ADDR", ("0.0.0.0", 9091)),  # noqa: S104
    "edge": ("TOWONEL_EDGE_HEALTH_LISTEN_ADDR", ("0.0.0.0", 9090)),  # noqa: S104
    "agent": ("TOWONEL_AGENT_HEALTH_LISTEN_ADDR", ("127.0.0.1", 9090)),
}
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_port(text: str) -> bool:
    """Tell whether a text is a port that can be dialled: 1 to 65535."""
    return bool(_PORT.fullmatch(text)) and 0 < int(text) <= LAST_PORT
