"""Codec of lists of services in control messages."""

from collections.abc import Iterable
from typing import Final

from towonel.wire.cbor import Fields
from towonel.wire.names import ServiceKey, parse_service_pair

MAX_SERVICES: Final = 1000  # with names of ordinary length they fit a frame


def read_services(fields: Fields) -> tuple[ServiceKey, ...]:
    """Return the services of a message.

    Raises:
        ProtocolError: MALFORMED or BAD_NAME.
    """
    return tuple(map(parse_service_pair, fields.items("services", MAX_SERVICES)))


def write_services(services: Iterable[ServiceKey]) -> list[list[str]]:
    """Return services as they stand in a message."""
    return [[str(key.kind), key.name] for key in services]
