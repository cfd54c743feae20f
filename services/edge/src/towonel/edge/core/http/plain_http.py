"""Plain HTTP at port 80: a request's head, and what the edge answers by itself.

    GET /.well-known/acme-challenge/TOKEN   of a published name: its agent is asked
    any other                               of a published name: 308 to https
    any                                     of another name: 404

One request is answered on a connection, which is closed then: so nothing that follows a head is ever read as another.

Source: RFC 9112 §3, §5; RFC 8555 §8.3.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname, parse_server_name
from towonel.wire.policy.challenge import PATH, TOKEN

MAX_HEAD_BYTES: Final = 8 * 1024
END: Final = b"\r\n\r\n"
_REQUEST: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")
_HOST: Final = re.compile(r"([a-z0-9_.-]+?)\.?(?::[0-9]{1,5})?", re.ASCII)
_REASONS: Final = {
    308: "Permanent Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Request(NamedTuple):
    """Request: its method, the name that it is for, and its path with the query."""

    method: str
    name: Hostname
    target: str


class Redirect(NamedTuple):
    """Answer to look elsewhere."""

    location: str


class Challenge(NamedTuple):
    """Challenge of an authority, which the name's own origin is to answer."""

    name: Hostname
    token: str


class Refusal(NamedTuple):
    """Answer without more: a status, and the code for log and metrics."""

    status: int
    code: Code


type Answer = Redirect | Challenge | Refusal


def parse_head(head: bytes) -> Request:
    """Return the request of a head, up to its empty line.

    Raises:
        ProtocolError: MALFORMED for what is no HTTP/1 for one name, BAD_NAME for one of no form that is published.
    """
    first, *fields = head.removesuffix(END).split(b"\r\n")
    found = _REQUEST.fullmatch(first)
    if found is None:
        raise ProtocolError(Code.MALFORMED, "no request line of HTTP/1 with a path")
    hosts: list[bytes] = []
    for line in fields:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise ProtocolError(Code.MALFORMED, "a header that is none")
        if field[1].lower() == b"host":
            hosts.append(field[2])
    if len(hosts) != 1:
        raise ProtocolError(Code.MALFORMED, f"{len(hosts)} Host headers")
    return Request(found[1].decode(), _parse_host(hosts[0]), found[2].decode())


def _parse_host(value: bytes) -> Hostname:
    found = _HOST.fullmatch(value.decode("latin-1").lower())
    if found is None:
        raise ProtocolError(Code.BAD_NAME, "the Host is no name")
    return parse_server_name(found[1])


def decide(request: Request, is_published: Callable[[Hostname], bool]) -> Answer:
    """Return how a request is answered."""
    if not is_published(request.name):
        return Refusal(404, Code.NO_ROUTE)
    if not request.target.startswith(PATH):
        return Redirect(f"https://{request.name}{request.target}")
    token = request.target.removeprefix(PATH)
    if not TOKEN.fullmatch(token):
        return Refusal(404, Code.NOT_FOUND)
    if request.method != "GET":
        return Refusal(405, Code.METHOD_NOT_ALLOWED)
    return Challenge(request.name, token)


def encode_answer(status: int, location: str | None = None) -> bytes:
    """Return an answer without a body, after which the connection ends."""
    where = "" if location is None else f"Location: {location}\r\n"
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{where}Content-Length: 0\r\nConnection: close\r\n\r\n"
    return head.encode()


def find_status(code: Code) -> int:
    """Return the status for a code that an agent, or the way to one, has failed with."""
    match code:
        case Code.CLIENT_NOT_ALLOWED:
            return 403
        case Code.NO_ROUTE | Code.NO_SERVICE:
            return 404
        case Code.ORIGIN_TIMEOUT:
            return 504
        case Code.OVERLOADED | Code.NO_AGENT:
            return 503
        case _:
            return 502
