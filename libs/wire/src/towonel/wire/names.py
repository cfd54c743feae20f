"""Hostnames, service names and groups: how they are parsed and compared.

A hostname may be a pattern, with `*` as its whole first label. Ownership and routing read a
pattern differently: `*.example.eu` owns names of any depth below `example.eu`, and routes names
exactly one label below it.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, NewType, cast, override

from towonel.wire.cbor import Fields, field_error
from towonel.wire.errors import Code, ProtocolError

Hostname = NewType("Hostname", str)

MAX_HOSTNAME_CHARS = 253  # RFC 1035 §2.3.4, without the root's dot
MAX_SERVICE_NAME_BYTES = 64  # the original's limit
# With `_`, which RFC 1123 has not: DNS and TLS carry it, and people have such names.
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_GROUP = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ServiceKind(StrEnum):
    """Kind of a service: what its clients speak, as far as the tunnel is concerned."""

    __hash__ = str.__hash__  # an enum's own is a function of Python, called for each key of a dict

    HTTPS = "https"
    TCP = "tcp"
    UDP = "udp"


class ServiceKey(NamedTuple):
    """Key of one service of a tenant; for https the name is the published pattern."""

    kind: ServiceKind
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_hostname(text: str) -> Hostname:
    """Return the lower-case hostname or pattern.

    Raises:
        ProtocolError: BAD_NAME, with the rule that `text` breaks.
    Source: RFC 1123 §2.1; the original's rules (two labels at least, `*` as the first only).
    """
    name = text.lower() if text.isascii() else text
    problem = _find_problem(name)
    if problem:
        raise ProtocolError(Code.BAD_NAME, f"hostname {text[:300]!r} {problem}")
    return Hostname(name)


@lru_cache(maxsize=4096)  # a client asks for what others have asked for before
def parse_server_name(text: str) -> Hostname:
    """Return the lower-case name a TLS client asked for, which is never a pattern.

    Raises:
        ProtocolError: BAD_SNI.
    Source: RFC 6066 §3.
    """
    name = text.lower() if text.isascii() else text
    problem = "is a pattern" if name.startswith("*") else _find_problem(name)
    if problem:
        raise ProtocolError(Code.BAD_SNI, f"server name {text[:300]!r} {problem}")
    return Hostname(name)


def wildcard_of(name: Hostname) -> Hostname | None:
    """Return the pattern one level up that would route `name`, if there can be one."""
    first, _, rest = name.partition(".")
    return None if first == "*" or "." not in rest else Hostname(f"*.{rest}")


def parse_service_name(text: str) -> str:
    """Return the name of a tcp or udp service.

    Raises:
        ProtocolError: BAD_NAME, with the rule that `text` breaks.
    """
    if not text or text != text.strip():
        problem = "must not be empty, or begin or end with a space"
    elif len(text.encode(errors="replace")) > MAX_SERVICE_NAME_BYTES:
        problem = f"must have at most {MAX_SERVICE_NAME_BYTES} bytes"
    elif _CONTROL.search(text):
        problem = "must not contain control characters"
    else:
        return text
    raise ProtocolError(Code.BAD_NAME, f"service name {text[:100]!r} {problem}")


def parse_service_key(kind: ServiceKind, name: str) -> ServiceKey:
    """Return the key of a service, its name checked by the rule of its kind.

    Raises:
        ProtocolError: BAD_NAME.
    """
    checked = parse_hostname(name) if kind is ServiceKind.HTTPS else parse_service_name(name)
    return ServiceKey(kind, checked)


def parse_service_pair(item: object) -> ServiceKey:
    """Return the key of a service that travels as an array of kind and name.

    Raises:
        ProtocolError: MALFORMED, or BAD_NAME.
    """
    parts = cast("list[object]", item) if isinstance(item, list) else []
    pair = Fields(dict(zip(("kind", "name"), parts, strict=False)))
    kind = pair.text("kind", 8)
    if kind not in ServiceKind:
        raise field_error("kind", "must be https, tcp or udp")
    return parse_service_key(ServiceKind(kind), pair.text("name", MAX_HOSTNAME_CHARS))


def parse_group(text: str) -> str:
    """Return the name of a group of agents.

    Raises:
        ProtocolError: BAD_NAME.
    """
    if not _GROUP.fullmatch(text):
        rule = "must be 1 to 63 of a-z, 0-9 and -"
        raise ProtocolError(Code.BAD_NAME, f"group {text[:100]!r} {rule}")
    return text


def parse_region(text: str) -> str:
    """Return the name of a region of edges, in lower case.

    Raises:
        ProtocolError: BAD_NAME.
    """
    region = text.strip().lower()
    if not _GROUP.fullmatch(region):
        rule = "must be 1 to 63 of a-z, 0-9 and -, as in eu or us-east-1"
        raise ProtocolError(Code.BAD_NAME, f"region {text[:100]!r} {rule}")
    return region


def _find_problem(name: str) -> str | None:
    labels = name.split(".")
    if not 1 <= len(name) <= MAX_HOSTNAME_CHARS:
        return f"must have 1 to {MAX_HOSTNAME_CHARS} characters"
    if len(labels) < 2:  # noqa: PLR2004 the rule itself: a single label is no public name
        return "must have at least two labels, as in app.example.eu"
    if labels[0] == "*":
        labels = labels[1:]
    for label in labels:
        if not LABEL.fullmatch(label):
            return f"has the label {label[:64]!r}: 1 to 63 of a-z, 0-9, _ and inner - are allowed"
    return None
