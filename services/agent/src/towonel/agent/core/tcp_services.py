"""TCP services: each has a name, and a public port of its own, on which edges listen for its clients."""

from copy import replace
from functools import partial
from typing import Final

from towonel.agent.core.checks.check_fields import BALANCE_FIELDS, read_affinity, read_check
from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
    Quantity,
    describe_repetition,
    parse_array,
    read_clients,
    read_origin,
    show,
)
from towonel.agent.core.services import ProxyProtocol, PublicPort, Service
from towonel.api.services import AUTO
from towonel.wire.addresses import LAST_PORT
from towonel.wire.names import ServiceKey, ServiceKind, parse_service_name

EXAMPLE = '{"name": "ssh", "origin": "127.0.0.1:22", "listen_port": 2222}'
MAX_IDLE_S = 86_400  # a day
_ORIGIN = "127.0.0.1:22"
_FIELDS = (
    *("name", "origin", "listen_port", "proxy_protocol", "idle_timeout_secs"),
    *CLIENT_FIELDS,
    *BALANCE_FIELDS,
)

type PortPlaces = dict[PublicPort, str]  # of the items of one list that have a port, by it

_IDLE_TIMEOUT: Final = Quantity("seconds", MAX_IDLE_S, 0, "no limit")


def parse_tcp_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of TCP services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    return parse_array(text, _FIELDS, EXAMPLE, partial(_parse, {}))


def _parse(places: PortPlaces, item: Item) -> Service | None:
    name = read_name(item, "ssh")
    origin = read_origin(item, _ORIGIN, ProxyProtocol.NONE)
    port = read_port(item, places)
    idle_s = item.read("idle_timeout_secs", _IDLE_TIMEOUT.parse)
    clients = read_clients(item)
    check, is_sticky = read_check(item), read_affinity(item)
    if name is None or origin is None or port is None or idle_s is None or item.problems:
        return None
    key = ServiceKey(ServiceKind.TCP, name)
    origin = replace(origin, idle_timeout_s=idle_s)
    return Service(key, origin, port=port, clients=clients, check=check, is_sticky=is_sticky)


def read_name(item: Item, example: str) -> str | None:
    """Return the name of a service that has a port, unless something is wrong with it."""
    return item.read("name", partial(_parse_name, example))


def read_port(item: Item, places: PortPlaces) -> PublicPort | None:
    """Return the public port of an item, unless something is wrong with it.

    Args:
        item: of a list of services.
        places: of the items before it, to which this one is added.
    """
    port = item.read("listen_port", _parse_port)
    if port is None or port == AUTO:
        return port
    place = places.setdefault(port, item.where)
    if place != item.where:
        item.refuse("listen_port", describe_repetition(place))
    return port


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
