"""UDP services: each has a name, and public ports of its own, on which edges take datagrams of its clients.

A flow is what one client sends, and what it gets. It has no end that anybody could see: it is over when nothing has
passed for so long. Nor does it begin with anything that would prove a client's address: an origin answers whoever
the datagram says it is from. So what an origin may send to a client that is not heard again is bounded.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from towonel.agent.core.checks.check_fields import BALANCE_FIELDS, read_affinity, read_check
from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
    Quantity,
    parse_array,
    read_clients,
)
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.core.tcp_services import (
    MAX_IDLE_S,
    PORT_FIELD,
    RANGE_FIELD,
    PortPlaces,
    read_port_fields,
)
from towonel.wire.names import ServiceKind

EXAMPLE: Final = '{"name": "dns", "origin": "127.0.0.1:53", "listen_port": 5353}'
DEFAULT_IDLE_S: Final = (
    60  # WireGuard and QUIC keep theirs alive every 25 s, games and calls far oftener
)
# What asks once and then only listens has to work: `iperf3 -u -R` at 20 Mbit/s for 26 s, a camera's stream for
# minutes. An origin that answers each datagram with its own never comes near: one that floods, stops there.
DEFAULT_UNANSWERED_BYTES: Final = 64 * 1024 * 1024
MAX_UNANSWERED_BYTES: Final = 1024**4  # as good as no bound
_ORIGIN: Final = "127.0.0.1:53"
_FIELDS: Final = (
    "name",
    "origin",
    PORT_FIELD,
    RANGE_FIELD,
    "idle_timeout_secs",
    "max_unanswered_bytes",
    *CLIENT_FIELDS,
    *BALANCE_FIELDS,
)
_IDLE_TIMEOUT: Final = Quantity("seconds", MAX_IDLE_S, DEFAULT_IDLE_S, str(DEFAULT_IDLE_S))
_UNANSWERED: Final = Quantity(
    "bytes", MAX_UNANSWERED_BYTES, DEFAULT_UNANSWERED_BYTES, str(DEFAULT_UNANSWERED_BYTES)
)


def parse_udp_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of UDP services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    return parse_array(text, _FIELDS, EXAMPLE, partial(_parse, {}))


def _parse(places: PortPlaces, item: Item) -> Service | None:
    fields = read_port_fields(item, places, "dns", _ORIGIN)
    idle_s = item.read("idle_timeout_secs", _IDLE_TIMEOUT.parse)
    unanswered = item.read("max_unanswered_bytes", _UNANSWERED.parse)
    clients = read_clients(item)
    check, is_sticky = read_check(item), read_affinity(item)
    if fields is None or idle_s is None or unanswered is None or item.problems:
        return None
    address, last_port = fields.address, fields.last_port
    origin = Origin(*address, ProxyProtocol.NONE, idle_s, unanswered, last_port)
    service = fields.to_service(ServiceKind.UDP, origin)
    return replace(service, clients=clients, check=check, is_sticky=is_sticky)
