"""Conversion of what workers say of clients to the values of control."""

import socket
from ipaddress import ip_address

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.route_table import find_hostname
from towonel.edge.streams.clients import HandedOverClient
from towonel.edge.streams.refusals import ClientRecord
from towonel.edge.worker.messages import ClientHandedOver, Refused
from towonel.wire.proxy import Address


def to_client(message: ClientHandedOver, descriptor: int) -> HandedOverClient:
    """Return a client that a worker hands over, with its socket."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return HandedOverClient(
        sock,
        _to_address(message.source),
        _to_address(message.destination),
        message.name,
        message.first,
        None if message.trace is None else _to_access_record(message, *message.trace),
        message.lanes_silent,
    )


def _to_access_record(
    client: ClientHandedOver, trace_id: bytes, began_at: float, hello_at: float
) -> AccessRecord:
    record = AccessRecord(trace_id, began_at)
    record.hello_at = hello_at
    host, port = client.source
    record.peer, record.hostname = (host, port), find_hostname(client.name)
    return record


def to_record(refused: Refused) -> ClientRecord:
    """Return what is logged of a client that a worker refused."""
    return ClientRecord(
        None if refused.peer is None else _to_address(refused.peer),
        refused.hostname,
        None if refused.tenant_id is None else refused.tenant_id.hex(),
        refused.service,
    )


def _to_address(name: tuple[str, int]) -> Address:
    host, port = name
    return Address(ip_address(host), port)
