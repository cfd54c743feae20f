"""Items of a list of services: how the fields of any of them are read, and the lines that say what is wrong."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

from towonel.agent.core.services import MAX_SERVICES, Origin, ProxyProtocol, Service
from towonel.runtime.environment.lists import parse_json
from towonel.wire.addresses import LAST_PORT, is_port
from towonel.wire.errors import ProtocolError
from towonel.wire.names import ServiceKey
from towonel.wire.policy.client_networks import ClientNetworks, check_count, parse_cidrs

CLIENT_FIELDS = ("allow_cidrs", "deny_cidrs")
_MAX_VALUE_CHARS = 100
_HOST = re.compile(r"[^\s/?#@:%\[\]\\\x00-\x20\x7f]+")


class Item:
    """Item of a list of services.

    Args:
        where: begins each line about it.
        fields: of the item.
        known: names of the fields that there are; the first is what the service is called by.

    Attributes:
        problems: lines about what is wrong with it, so far.
    """

    def __init__(self, where: str, fields: Mapping[str, object], known: Sequence[str]) -> None:
        self.where = where
        self._fields = fields
        self.problems: list[str] = []
        for field in fields:
            if field not in known:
                self.refuse(shorten(field), _advise(field, known))
        if isinstance(fields, _RepeatedFields):
            self.refuse(known[0], "or another field occurs twice in it; leave one")

    def has(self, field: str) -> bool:
        """Tell whether a field is there."""
        return field in self._fields

    def refuse(self, field: str, rule: str) -> None:
        """Note that a field breaks a rule."""
        self.problems.append(f"{self.where}.{field}: {rule}")

    def read[T](self, field: str, parse: Callable[[object], T], default: object = None) -> T | None:
        """Return what `parse` makes of a field, or None: it raises ValueError with the rule that is broken.

        Of a field that is not there, it gets the default.
        """
        try:
            return parse(self._fields.get(field, default))
        except ProtocolError as error:
            self.refuse(field, error.detail)
        except ValueError as error:
            self.refuse(field, str(error))
        return None


@dataclass(frozen=True, slots=True)
class Quantity:
    """Whole number of a field that may be left out.

    Args:
        unit: of it.
        largest: value that is taken; 1 is the smallest.
        default: value where it is left out.
        default_text: what that is, for a message.
    """

    unit: str
    largest: int
    default: int
    default_text: str

    def parse(self, value: object) -> int:
        """Return the number.

        Raises:
            ValueError: with the rule that is broken.
        """
        if value is None:
            return self.default
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= self.largest:
            rule = f"a whole number of {self.unit} from 1 to {self.largest}; leave it out for {self.default_text}"
            raise ValueError(f"must be {rule}, not {show(value)}")
        return value


type ParseItem = Callable[[Item], Service | None]


def parse_array(
    text: str, known: Sequence[str], example: str, parse: ParseItem
) -> tuple[Service, ...]:
    """Read a JSON array of services, each of which has a name of its own.

    Args:
        text: of the array.
        known: as of `Item`.
        example: of an item.
        parse: makes a service of an item, or notes what is wrong with it.

    Raises:
        ValueError: its text has a line for each mistake, with the item, the field and the fix.
    """
    services: dict[ServiceKey, Service] = {}
    places: dict[ServiceKey, str] = {}
    problems: list[str] = []
    for number, value in enumerate(_parse_values(text, example)):
        if not isinstance(value, dict):
            problems.append(f"[{number}]: must be an object, as in {example}")
            continue
        fields = cast("dict[str, object]", value)
        item = Item(_locate(number, fields.get(known[0])), fields, known)
        service = parse(item)
        if service is not None:
            services[service.key] = service
            place = places.setdefault(service.key, item.where)
            if place != item.where:
                item.refuse(known[0], describe_repetition(place))
        problems += item.problems
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(services.values())


def describe_repetition(place: str) -> str:
    """Return what is wrong with a field whose value is that of another item."""
    return f"is that of {place}, too; each service needs one of its own"


def parse_origin(text: object, example: str) -> tuple[str, int]:
    """Return host and port of an origin.

    Raises:
        ValueError: with the rule that is broken.
    """
    if not isinstance(text, str):
        missing = "is missing" if text is None else f"must be a text, not {show(text)}"
        raise ValueError(f"{missing}; give host:port, as in {example}")  # noqa: TRY004 a mistake of a setting
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if is_port(port) and _is_host(bare, in_brackets=bare != host):
        return bare, int(port)
    rule = f"must be host:port, with a port from 1 to {LAST_PORT}, as in {example}"
    if is_port(port) and _is_host(host, in_brackets=True):
        rule = f"an IPv6 address needs brackets, as in [{host}]:{port}"
    raise ValueError(f"{rule}, not {show(text)}")


def parse_host(text: object) -> str:
    """Return the host of an origin of which each client gets the port that it used.

    Raises:
        ValueError: with the rule that is broken.
    """
    rule = f"must be a host alone, as in 192.0.2.7 or game: clients get the ports that they use there, not {show(text)}"
    if not isinstance(text, str):
        raise ValueError("is missing; give a host" if text is None else rule)  # noqa: TRY004 a mistake of a setting
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_host(bare, in_brackets=bare != text or ":" in bare):
        raise ValueError(rule)
    return bare


def parse_proxy_protocol(value: object) -> ProxyProtocol:
    """Return what an origin gets in front of a client's bytes.

    Raises:
        ValueError: with the rule that is broken.
    """
    if not isinstance(value, str) or value not in {*ProxyProtocol}:
        raise ValueError(f'must be "v2" or "none", not {show(value)}')
    return ProxyProtocol(value)


def read_origin(item: Item, example: str, proxy_protocol: ProxyProtocol) -> Origin | None:
    """Return the origin of an item, unless something is wrong with it.

    Args:
        item: of a list of services.
        example: of an origin.
        proxy_protocol: of an origin for which nothing else is said.
    """
    address = item.read("origin", lambda value: parse_origin(value, example))
    proxy = item.read("proxy_protocol", parse_proxy_protocol, proxy_protocol.value)
    return None if address is None or proxy is None else Origin(*address, proxy)


def read_clients(item: Item) -> ClientNetworks | None:
    """Return the networks of clients of an item, unless something is wrong with them; None for all."""
    allow, deny = (item.read(field, _parse_cidrs, []) or () for field in CLIENT_FIELDS)
    try:
        check_count(len(allow) + len(deny))
    except ProtocolError as error:
        item.refuse(CLIENT_FIELDS[0], error.detail)
    return ClientNetworks(allow, deny) if allow or deny else None


def _parse_cidrs(value: object) -> tuple[str, ...]:
    rule = f'must be an array of networks, as in ["192.0.2.0/24"], not {show(value)}'
    found = cast("list[object]", value) if isinstance(value, list) else [None]
    values = [each for each in found if isinstance(each, str)]
    if len(values) < len(found):
        raise ValueError(rule)
    return parse_cidrs(values)


def show(value: object) -> str:
    """Return a value for a message."""
    return shorten(repr(value))


def shorten(text: str) -> str:
    """Return a text as it fits into one line of a terminal, whatever is in it."""
    printable = text if text.isprintable() else repr(text)
    return printable if len(printable) <= _MAX_VALUE_CHARS else f"{printable[:_MAX_VALUE_CHARS]}…"


def _parse_values(text: str, example: str) -> list[object]:
    found = parse_json(text, _make_object)
    if not isinstance(found, list):
        raise ValueError(f"must be a JSON array, as in [{example}]")  # noqa: TRY004 one kind of mistake
    values = cast("list[object]", found)
    if len(values) > MAX_SERVICES:
        raise ValueError(f"has {len(values)} services, at most {MAX_SERVICES} are taken")
    return values


class _RepeatedFields(dict[str, object]):
    """Object in which a field occurs twice: which of them counts, readers of JSON do not agree on."""


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _RepeatedFields(fields)


def _locate(number: int, name: object) -> str:
    return f"[{number}]" + (f" ({shorten(name)})" if isinstance(name, str) else "")


def _advise(field: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(field, known, n=1)
    return "unknown field; " + (
        f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    )


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
