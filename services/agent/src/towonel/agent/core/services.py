"""Services of the environment: what an agent publishes, and the origin of each."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import cast, override

from towonel.agent.core.origin_table import OriginTable
from towonel.runtime.environment.lists import parse_json
from towonel.wire.addresses import LAST_PORT, format_address, is_port
from towonel.wire.errors import ProtocolError
from towonel.wire.names import ServiceKey, ServiceKind, parse_hostname
from towonel.wire.routes import TlsMode

MAX_SERVICES = 1_000  # what a session's Hello takes, and of its 64 KiB names may take
MAX_NAMES_BYTES = 60 * 1024
_BYTES_BESIDE_NAME = 9  # in CBOR: an array, its kind, and the length of the name
_MAX_VALUE_CHARS = 100
_EXAMPLE = "127.0.0.1:4443"
_HOST = re.compile(r"[^\s/?#@:%\[\]\\\x00-\x20\x7f]+")
_FIELDS = ("hostname", "origin", "tls_mode", "proxy_protocol")


class ProxyProtocol(StrEnum):
    """PROXY protocol that tells an origin the client's address."""

    NONE = "none"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a service, as the agent dials it."""

    host: str
    port: int
    proxy_protocol: ProxyProtocol

    @override
    def __str__(self) -> str:
        return format_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Service:
    """Service of the environment."""

    key: ServiceKey
    origin: Origin
    tls_mode: TlsMode = TlsMode.PASSTHROUGH


def parse_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    items = parse_json(text, _make_object)
    if not isinstance(items, list):
        raise ValueError('must be a JSON array, as in [{"hostname": "app.example.eu", …}]')  # noqa: TRY004 one kind of mistake
    entries = cast("list[object]", items)
    if len(entries) > MAX_SERVICES:
        raise ValueError(f"has {len(entries)} services, at most {MAX_SERVICES} are taken")
    problems: list[str] = []
    services = [_parse_service(number, item, problems) for number, item in enumerate(entries)]
    found = [service for service in services if service is not None]
    problems += _find_duplicates(found)
    if problems:
        raise ValueError("\n".join(problems))
    if not can_be_announced(found):
        limit = f"at most {MAX_NAMES_BYTES // 1024} KiB are taken"
        raise ValueError(
            f"has names that are too long in all: {limit}; shorten them, or use two groups"
        )
    return tuple(found)


def can_be_announced(services: Collection[Service]) -> bool:
    """Tell whether a session can begin with so many services of such names."""
    bytes_of_names = sum(len(service.key.name) + _BYTES_BESIDE_NAME for service in services)
    return len(services) <= MAX_SERVICES and bytes_of_names <= MAX_NAMES_BYTES


class _RepeatedFields(dict[str, object]):
    """Object in which a field occurs twice: which of them counts, readers of JSON do not agree on."""


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _RepeatedFields(fields)


def tabulate_origins(services: Iterable[Service]) -> OriginTable[Origin]:
    """Return the table of the origins of services."""
    return OriginTable({service.key: service.origin for service in services})


def _parse_service(number: int, item: object, problems: list[str]) -> Service | None:
    if not isinstance(item, dict):
        problems.append(f'[{number}]: must be an object with "hostname" and "origin"')
        return None
    entry = cast("dict[str, object]", item)
    name = entry.get("hostname")
    where = f"[{number}]" + (f" ({_shorten(name)})" if isinstance(name, str) else "")
    found = _find_unknown(entry)
    if isinstance(entry, _RepeatedFields):
        found.append("hostname: or another field occurs twice in it; leave one")
    key, origin = _parse_key(entry, found), _parse_origin(entry, found)
    mode = entry.get("tls_mode", "passthrough")
    if mode not in ("passthrough", {"mode": "passthrough"}):  # the original's form too
        found.append(
            f"tls_mode: must be passthrough, the only mode there is so far, not {_show(mode)}"
        )
    problems += [f"{where}.{problem}" for problem in found]
    return None if found or key is None or origin is None else Service(key, origin)


def _find_unknown(entry: Mapping[str, object]) -> list[str]:
    problems: list[str] = []
    for field in entry:
        if field not in _FIELDS:
            near = difflib.get_close_matches(field, _FIELDS, n=1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(_FIELDS)}"
            problems.append(f"{_shorten(field)}: unknown field; {fix}")
    return problems


def _parse_key(entry: Mapping[str, object], problems: list[str]) -> ServiceKey | None:
    hostname = entry.get("hostname")
    if not isinstance(hostname, str):
        problems.append("hostname: is missing; give the public name, as in app.example.eu")
        return None
    try:
        return ServiceKey(ServiceKind.HTTPS, parse_hostname(hostname))
    except ProtocolError as error:
        problems.append(f"hostname: {error.detail}")
        return None


def _parse_origin(entry: Mapping[str, object], problems: list[str]) -> Origin | None:
    address, proxy = _parse_address(entry, problems), entry.get("proxy_protocol", "v2")
    if not isinstance(proxy, str) or proxy not in {*ProxyProtocol}:
        problems.append(f'proxy_protocol: must be "v2" or "none", not {_show(proxy)}')
        return None
    return None if address is None else Origin(*address, ProxyProtocol(proxy))


def _parse_address(entry: Mapping[str, object], problems: list[str]) -> tuple[str, int] | None:
    text = entry.get("origin")
    if not isinstance(text, str):
        missing = "is missing" if text is None else f"must be a text, not {_show(text)}"
        problems.append(f"origin: {missing}; give host:port, as in {_EXAMPLE}")
        return None
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if is_port(port) and _is_host(bare, in_brackets=bare != host):
        return bare, int(port)
    rule = f"must be host:port, with a port from 1 to {LAST_PORT}, as in {_EXAMPLE}"
    if is_port(port) and _is_host(host, in_brackets=True):
        rule = f"an IPv6 address needs brackets, as in [{host}]:{port}"
    problems.append(f"origin: {rule}, not {_show(text)}")
    return None


def _is_host(text: str, *, in_brackets: bool) -> bool:
    """Tell whether a text is an IP address, which IPv6 puts into brackets, or can be a name in DNS."""
    try:
        return in_brackets is (ip_address(text).version == 6)  # noqa: PLR2004 IPv6
    except ValueError:
        pass
    if in_brackets or not _HOST.fullmatch(text):
        return False
    try:
        text.encode("idna")  # as the resolver will: labels of 1 to 63 characters
    except UnicodeError:
        return False
    return True


def _show(value: object) -> str:
    return _shorten(repr(value))


def _shorten(text: str) -> str:
    """Return a text as it fits into one line of a terminal, whatever is in it."""
    printable = text if text.isprintable() else repr(text)
    return printable if len(printable) <= _MAX_VALUE_CHARS else f"{printable[:_MAX_VALUE_CHARS]}…"


def _find_duplicates(services: Iterable[Service]) -> list[str]:
    seen: set[ServiceKey] = set()
    duplicates: list[str] = []
    for service in services:
        if service.key in seen:
            duplicates.append(f"hostname {service.key.name}: occurs twice")
        seen.add(service.key)
    return duplicates
