"""Preamble of a stream: the client's address, and the service it asked for.

It is a PROXY v2 header (`proxy.py`) with these TLVs:

    0x02  AUTHORITY    the hostname the client asked for
    0xE0  service      one byte kind (1 https, 2 tcp, 3 udp), then the name in UTF-8
    0xE1  traceparent  W3C trace context, ASCII
    0xE2  port         the public one that a client of tcp or udp used (2 bytes): the destination's may be a proxy's
    0xE3  protocol     what a client speaks whose TLS ended at the edge, as its ALPN has it: h2 or http/1.1
    0xE4  challenge    token of a challenge HTTP-01 that the origin is asked about, ASCII; no bytes of a client follow
"""

import re
from functools import lru_cache
from typing import NamedTuple

from towonel.wire import proxy
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import (
    Hostname,
    ServiceKey,
    ServiceKind,
    parse_server_name,
    parse_service_key,
)
from towonel.wire.policy.challenge import TOKEN
from towonel.wire.proxy import Address, ProxyHeader

MAX_PREAMBLE_BYTES = 1024  # two names of 253, and room for TLVs yet unknown
TLV_SERVICE = 0xE0
TLV_TRACEPARENT = 0xE1
TLV_PORT = 0xE2
TLV_PROTOCOL = 0xE3
TLV_CHALLENGE = 0xE4
HTTP_1, HTTP_2 = "http/1.1", "h2"  # RFC 7301 §6, RFC 9113 §3.2
_PROTOCOLS = {each.encode(): each for each in (HTTP_1, HTTP_2)}
_PORT_BYTES = 2
_OURS = frozenset(
    {proxy.TLV_AUTHORITY, TLV_SERVICE, TLV_TRACEPARENT, TLV_PORT, TLV_PROTOCOL, TLV_CHALLENGE}
)
_KINDS = {1: ServiceKind.HTTPS, 2: ServiceKind.TCP, 3: ServiceKind.UDP}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class Preamble(NamedTuple):
    """Preamble of one client connection.

    `port` is None from an edge of an older version, and of https; `protocol` where the client said none, or one that is
    not known here, and where its TLS has not ended.
    """

    source: Address
    destination: Address
    service: ServiceKey
    authority: Hostname | None = None
    traceparent: str | None = None
    port: int | None = None
    protocol: str | None = None
    challenge: str | None = None


def encode(preamble: Preamble) -> bytes:
    """Return the preamble's bytes."""
    source, destination, service, authority, traceparent, port, protocol, challenge = preamble
    tlvs = _encode_names(service, authority, port, protocol)
    if traceparent is not None:
        tlvs += proxy.encode_tlvs(((TLV_TRACEPARENT, traceparent.encode()),))
    if challenge is not None:
        tlvs += proxy.encode_tlvs(((TLV_CHALLENGE, challenge.encode()),))
    return proxy.encode_addresses(source, destination, tlvs)


def read(data: bytes) -> tuple[Preamble, int] | None:
    """Return the preamble that `data` begins with and its length, or None to wait for more.

    Raises:
        ProtocolError: BAD_PREAMBLE.
    """
    try:
        found = proxy.read(data)
        if found is not None and found[1] <= MAX_PREAMBLE_BYTES:
            return _parse(found[0]), found[1]
    except (ProtocolError, UnicodeDecodeError) as error:
        raise _error(str(error)) from error
    if found is not None or len(data) >= MAX_PREAMBLE_BYTES:
        raise _error(f"more than {MAX_PREAMBLE_BYTES} bytes")
    return None


@lru_cache(maxsize=4096)  # the clients of a service ask for the same
def _encode_names(
    service: ServiceKey, authority: Hostname | None, port: int | None, protocol: str | None
) -> bytes:
    tlvs = [(TLV_SERVICE, bytes([_NUMBERS[service.kind]]) + service.name.encode())]
    if authority is not None:
        tlvs.insert(0, (proxy.TLV_AUTHORITY, authority.encode()))
    if port is not None:
        tlvs.append((TLV_PORT, port.to_bytes(_PORT_BYTES)))
    if protocol is not None:
        tlvs.append((TLV_PROTOCOL, protocol.encode()))
    return proxy.encode_tlvs(tuple(tlvs))


def _parse(header: ProxyHeader | None) -> Preamble:
    if header is None:
        raise _error("no addresses of TCP")
    ours = [(kind, value) for kind, value in header.tlvs if kind in _OURS]
    fields = dict(ours)
    if len(fields) != len(ours):
        raise _error("a TLV occurs twice")
    authority = fields.get(proxy.TLV_AUTHORITY)
    traceparent = fields.get(TLV_TRACEPARENT)
    port = fields.get(TLV_PORT)
    challenge = fields.get(TLV_CHALLENGE)
    return Preamble(
        header.source,
        header.destination,
        _parse_service(fields.get(TLV_SERVICE, b"")),
        None if authority is None else parse_server_name(authority.decode("ascii")),
        None if traceparent is None else _parse_traceparent(traceparent.decode("ascii")),
        None if port is None else _parse_port(port),
        _PROTOCOLS.get(fields.get(TLV_PROTOCOL, b"")),
        None if challenge is None else _parse_token(challenge.decode("ascii")),
    )


@lru_cache(maxsize=4096)  # as above; at most 1 KiB each
def _parse_service(value: bytes) -> ServiceKey:
    kind = _KINDS.get(value[0]) if value else None
    if kind is None:
        raise _error("the service TLV is missing or of an unknown kind")
    return parse_service_key(kind, value[1:].decode())


def _parse_traceparent(text: str) -> str:
    if not _TRACEPARENT.fullmatch(text):
        raise _error("traceparent is not of W3C form")
    return text


def _parse_token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise _error("the token of a challenge is not of its form")
    return text


def _parse_port(value: bytes) -> int:
    if len(value) != _PORT_BYTES:
        raise _error(f"the port TLV has {len(value)} bytes")
    return int.from_bytes(value)


def _error(detail: str) -> ProtocolError:
    return ProtocolError(Code.BAD_PREAMBLE, detail)
