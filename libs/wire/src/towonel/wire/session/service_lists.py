"""Codec of lists of services in control messages."""

from collections.abc import Iterable
from typing import Final, cast

from towonel.wire.cbor import Fields, field_error
from towonel.wire.names import MAX_HOSTNAME_CHARS, ServiceKey, ServiceKind, parse_service_key

MAX_SERVICES: Final = 1000  # with names of ordinary length they fit a frame


def read_services(fields: Fields) -> tuple[ServiceKey, ...]:
    """Return the services of a message.

    Raises:
        ProtocolError: MALFORMED or BAD_NAME.
    """
    return tuple(_read_service(item) for item in fields.items("services", MAX_SERVICES))


def write_services(services: Iterable[ServiceKey]) -> list[list[str]]:
    """Return services as they stand in a message."""
    return [[str(key.kind), key.name] for key in services]


def _read_service(item: object) -> ServiceKey:
    pair = Fields(
        dict(zip(("kind", "name"), cast("list[object]", item), strict=False))
        if isinstance(item, list)
        else {}
    )
    kind = pair.text("kind", 8)
    if kind not in ServiceKind:
        raise field_error("kind", "must be https, tcp or udp")
    name = pair.text("name", MAX_HOSTNAME_CHARS)
    return parse_service_key(ServiceKind(kind), name)
