"""Builder of request paths: an argument can name a resource, and nothing else."""

import re
from urllib.parse import quote

from towonel.wire.errors import Code, Denied

# None of these can hold a slash, a dot alone, a percent sign, a query or a control character.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # base64url, or 64 hexadecimal digits
_HOSTNAME = re.compile(r"[A-Za-z0-9*-][A-Za-z0-9*.-]{0,252}", re.ASCII)
_KEY = re.compile(r"(?:https|tcp|udp):[A-Za-z0-9*-][A-Za-z0-9*.-]{0,252}", re.ASCII)


def by_id(collection: str, item_id: bytes | str) -> str:
    """Return the path of an item: `/v1/invites` and an id as lists show it; bytes are hexadecimal there.

    Raises:
        Denied: INVALID_REQUEST if it is not an id.
    """
    rule = "an id is base64url text or hexadecimal, as `list` shows it"
    text = item_id.hex() if isinstance(item_id, bytes) else item_id
    return _join(collection, _ID, text, rule)


def by_key(collection: str, key: str) -> str:
    """Return the path of a route or service: `/v1/routes` and `https:app.example.eu`.

    Raises:
        Denied: INVALID_REQUEST if it is not a route's key.
    """
    rule = "a key is a kind and a name or port: https:app.example.eu, tcp:2222"
    return _join(collection, _KEY, key, rule)


def by_hostname(collection: str, hostname: str) -> str:
    """Return the path of a hostname: `/v1/invites/…/hostnames` and `*.example.eu`.

    Raises:
        Denied: INVALID_REQUEST if it is not a hostname.
    """
    rule = "a hostname is ASCII letters, digits, hyphens and dots"
    return _join(collection, _HOSTNAME, hostname, rule)


def _join(collection: str, form: re.Pattern[str], segment: str, rule: str) -> str:
    if not form.fullmatch(segment):
        raise Denied(Code.INVALID_REQUEST, rule)
    return f"{collection}/{quote(segment, safe='')}"
