"""TCP services: each has a name, and public ports of its own, on which edges listen for its clients.

Most have one port, `listen_port`. Of a range, `listen_port_range`, a client gets the same port of the origin's host.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, cast

from towonel.agent.core.checks.check_fields import BALANCE_FIELDS, read_affinity, read_check
from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
    Quantity,
    describe_repetition,
    parse_array,
    parse_host,
    parse_origin,
    parse_proxy_protocol,
    read_clients,
    show,
)
from towonel.agent.core.services import Origin, ProxyProtocol, PublicPort, Service
from towonel.api.services import AUTO
from towonel.wire.addresses import LAST_PORT
from towonel.wire.names import ServiceKey, ServiceKind, parse_service_name
from towonel.wire.policy.port_ranges import MAX_RANGE_PORTS, find_range_problem, split_range

EXAMPLE = '{"name": "ssh", "origin": "127.0.0.1:22", "listen_port": 2222}'
MAX_IDLE_S = 86_400  # a day
PORT_FIELD, RANGE_FIELD = "listen_port", "listen_port_range"
_ORIGIN = "127.0.0.1:22"
_FIELDS = (
    *("name", "origin", PORT_FIELD, RANGE_FIELD, "proxy_protocol", "idle_timeout_secs"),
    *CLIENT_FIELDS,
    *BALANCE_FIELDS,
)
_PAIR: Final = 2

type PortPlaces = dict[int, str]  # of the items of one list that have a port, by it


@dataclass(frozen=True, slots=True)
class PortFields:
    """Fields of an item that services of TCP and UDP have in common.

    Args:
        name: of the service.
        address: of its origin; the port is the first one of a range.
        port: the public one, or the first one of a range.
        last_port: of a range.
    """

    name: str
    address: tuple[str, int]
    port: PublicPort
    last_port: int | None = None

    def to_service(self, kind: ServiceKind, origin: Origin) -> Service:
        """Return a service of these, for all clients."""
        key = ServiceKey(kind, self.name)
        return Service(key, origin, port=self.port, last_port=self.last_port)


_IDLE_TIMEOUT: Final = Quantity("seconds", MAX_IDLE_S, 0, "no limit")


def parse_tcp_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of TCP services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    return parse_array(text, _FIELDS, EXAMPLE, partial(_parse, {}))


def _parse(places: PortPlaces, item: Item) -> Service | None:
    fields = read_port_fields(item, places, "ssh", _ORIGIN)
    proxy = item.read("proxy_protocol", parse_proxy_protocol, ProxyProtocol.NONE.value)
    idle_s = item.read("idle_timeout_secs", _IDLE_TIMEOUT.parse)
    clients = read_clients(item)
    check, is_sticky = read_check(item), read_affinity(item)
    if fields is None or proxy is None or idle_s is None or item.problems:
        return None
    origin = Origin(*fields.address, proxy, idle_s, last_port=fields.last_port)
    service = fields.to_service(ServiceKind.TCP, origin)
    return replace(service, clients=clients, check=check, is_sticky=is_sticky)


def read_port_fields(item: Item, places: PortPlaces, name: str, origin: str) -> PortFields | None:
    """Return the name, the origin and the public ports of an item, unless something is wrong with them.

    Args:
        item: of a list of services.
        places: of the items before it, to which this one is added.
        name: example of one.
        origin: example of one.
    """
    found = item.read("name", partial(_parse_name, name))
    if item.has(RANGE_FIELD):
        return _read_range_fields(item, places, found)
    address = item.read("origin", lambda value: parse_origin(value, origin))
    port = item.read(PORT_FIELD, _parse_port)
    if isinstance(port, int):
        _claim_ports(item, PORT_FIELD, places, (port,))
    if found is None or address is None or port is None:
        return None
    return PortFields(found, address, port)


def _read_range_fields(item: Item, places: PortPlaces, name: str | None) -> PortFields | None:
    if item.has(PORT_FIELD):
        item.refuse(RANGE_FIELD, f"and {PORT_FIELD} are both there; leave one of them")
    host = item.read("origin", parse_host)
    ports = item.read(RANGE_FIELD, _parse_range)
    if ports is not None:
        _claim_ports(item, RANGE_FIELD, places, range(ports[0], ports[1] + 1))
    if name is None or host is None or ports is None:
        return None
    return PortFields(name, (host, ports[0]), *ports)


def _claim_ports(item: Item, field: str, places: PortPlaces, ports: Iterable[int]) -> None:
    """Add the ports of an item to those of the items before it; the first that one of those has is a mistake."""
    for port in ports:
        place = places.setdefault(port, item.where)
        if place != item.where:
            which = f"has port {port}, which " if field == RANGE_FIELD else ""
            item.refuse(field, which + describe_repetition(place))
            return


def _parse_name(example: str, value: object) -> str:
    if not isinstance(value, str):
        missing = "is missing" if value is None else f"must be a text, not {show(value)}"
        raise ValueError(f"{missing}; give the service a name, as in {example}")  # noqa: TRY004 a mistake of a setting
    return parse_service_name(value)


def _parse_port(value: object) -> PublicPort:
    if value == AUTO:
        return AUTO
    rule = (
        f'a port from 1 to {LAST_PORT}, or "auto" for one of those that are reserved for the tenant'
    )
    if value is None:
        raise ValueError(f"is missing; give {rule}")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LAST_PORT:
        raise ValueError(f"must be {rule}, not {show(value)}")
    return value


def _parse_range(value: object) -> tuple[int, int]:
    """Return both ends of "27015-27030", or of the original's [27015, 27030]."""
    found = split_range(value) if isinstance(value, str) else _find_pair(value)
    if found is None:
        rule = f'a range of at most {MAX_RANGE_PORTS} ports, as in "27015-27030"'
        raise ValueError(f"must be {rule}, not {show(value)}")
    problem = find_range_problem(*found)
    if problem is not None:
        raise ValueError(problem)
    return found


def _find_pair(value: object) -> tuple[int, int] | None:
    items = cast("list[object]", value) if isinstance(value, list) else []
    numbers = [each for each in items if isinstance(each, int) and not isinstance(each, bool)]
    return (numbers[0], numbers[1]) if len(items) == len(numbers) == _PAIR else None
