"""Fields of a service about TLS to its origin, which one has whose clients' TLS ends at the edge."""

from ipaddress import ip_address
from typing import Final

from towonel.agent.core.service_items import Item, show
from towonel.agent.core.tls.origin_tls import OriginTls
from towonel.wire.names import LABEL, MAX_HOSTNAME_CHARS

SERVER_NAME: Final = "origin_server_name"
_CA: Final = "origin_ca"
_INSECURE: Final = "origin_insecure"
TLS_FIELDS: Final = (SERVER_NAME, _CA, _INSECURE)
MAX_PATH_BYTES: Final = 500  # of a message to workers, of which 50 origins have one


def read_origin_tls(item: Item, *, is_terminated: bool) -> OriginTls | None:
    """Return the TLS to an item's origin, unless something is wrong with its fields; None for none.

    Args:
        item: of a list of services.
        is_terminated: whether the TLS of its clients ends at the edge.
    """
    ca = item.read(_CA, _parse_path) if item.has(_CA) else None
    is_insecure = item.read(_INSECURE, parse_flag, default=False) or False
    if not item.has(SERVER_NAME):
        rule = (
            f"needs {SERVER_NAME}, the name in the origin's certificate; give it, or leave this out"
        )
        for field in (_CA,) * item.has(_CA) + (_INSECURE,) * is_insecure:
            item.refuse(field, rule)
        return None
    name = item.read(SERVER_NAME, _parse_server_name)
    if not is_terminated:
        rule = 'needs "tls_mode": "terminate": with passthrough the client speaks TLS to the origin'
        item.refuse(SERVER_NAME, f"{rule}; leave one of them out")
    if ca is not None and is_insecure:
        rule = f"verifies the origin, which {_INSECURE} rules out; leave one of them out"
        item.refuse(_CA, rule)
    return None if name is None else OriginTls(name, ca, not is_insecure)


def _parse_server_name(value: object) -> str:
    name = value.lower() if isinstance(value, str) and value.isascii() else ""
    if _is_address(name) or (len(name) <= MAX_HOSTNAME_CHARS and _is_name(name)):
        return name
    rule = "must be a name or an address that the origin's certificate is for, as in app.internal"
    raise ValueError(f"{rule}, not {show(value)}")


def _is_name(text: str) -> bool:
    return all(LABEL.fullmatch(label) for label in text.split("."))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _parse_path(value: object) -> str:
    rule = "must be the path of a PEM file with the certificates of the origin's authorities"
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ValueError(f"{rule}, not {show(value)}")
    if len(value.encode(errors="replace")) > MAX_PATH_BYTES:
        raise ValueError(f"{rule}, of at most {MAX_PATH_BYTES} bytes")
    return value


def parse_flag(value: object) -> bool:
    """Return a switch.

    Raises:
        ValueError: with the rule that is broken.
    """
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {show(value)}")  # noqa: TRY004 a mistake of a setting
    return value
