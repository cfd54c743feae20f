"""TCP services: each has a name, and a public port of its own, on which edges listen for its clients."""

from copy import replace
from functools import partial

from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
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
_FIELDS = ("name", "origin", "listen_port", "proxy_protocol", "idle_timeout_secs", *CLIENT_FIELDS)


def parse_tcp_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of TCP services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    places: dict[PublicPort, str] = {}
    return parse_array(text, _FIELDS, EXAMPLE, partial(_parse, places))


def _parse(places: dict[PublicPort, str], item: Item) -> Service | None:
    name = item.read("name", _parse_name)
    origin = read_origin(item, _ORIGIN, ProxyProtocol.NONE)
    port = item.read("listen_port", _parse_port)
    idle_s = item.read("idle_timeout_secs", _parse_idle_timeout)
    clients = read_clients(item)
    if (
        port is not None
        and port != AUTO
        and (place := places.setdefault(port, item.where)) != item.where
    ):
        item.refuse("listen_port", describe_repetition(place))
    if name is None or origin is None or port is None or idle_s is None or item.problems:
        return None
    key = ServiceKey(ServiceKind.TCP, name)
    return Service(key, replace(origin, idle_timeout_s=idle_s), port=port, clients=clients)


def _parse_name(value: object) -> str:
    if not isinstance(value, str):
        missing = "is missing" if value is None else f"must be a text, not {show(value)}"
        raise ValueError(f"{missing}; give the service a name, as in ssh")  # noqa: TRY004 a mistake of a setting
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


def _parse_idle_timeout(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_IDLE_S:
        rule = f"a whole number of seconds from 1 to {MAX_IDLE_S}; leave it out for no limit"
        raise ValueError(f"must be {rule}, not {show(value)}")
    return value
