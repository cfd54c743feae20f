"""HTTPS services: each has a hostname, to which clients connect on the edges' own port."""

from copy import replace

from towonel.agent.core.checks.check_fields import BALANCE_FIELDS, read_affinity, read_check
from towonel.agent.core.service_items import (
    CLIENT_FIELDS,
    Item,
    parse_array,
    parse_origin,
    read_clients,
    read_origin,
    show,
)
from towonel.agent.core.services import ProxyProtocol, Service
from towonel.agent.core.tls.origin_tls_fields import TLS_FIELDS, parse_flag, read_origin_tls
from towonel.wire.names import Hostname, ServiceKey, ServiceKind, parse_hostname
from towonel.wire.routes import TlsMode

EXAMPLE = '{"hostname": "app.example.eu", "origin": "127.0.0.1:4443"}'
_ORIGIN = "127.0.0.1:4443"
_HTTP_ORIGIN = "127.0.0.1:80"
_FIELDS = (
    *("hostname", "origin", "tls_mode", "proxy_protocol", "http2", "http_origin"),
    *TLS_FIELDS,
    *CLIENT_FIELDS,
    *BALANCE_FIELDS,
)


def parse_https_services(text: str) -> tuple[Service, ...]:
    """Read the JSON array of HTTPS services.

    Raises:
        ValueError: its text has a line for each mistake, with the service, the field and the fix.
    """
    return parse_array(text, _FIELDS, EXAMPLE, _parse)


def _parse(item: Item) -> Service | None:
    hostname = item.read("hostname", _parse_name)
    mode = item.read("tls_mode", _parse_tls_mode, "passthrough") or TlsMode.PASSTHROUGH
    # What is inside TLS is HTTP, most often, and few of its servers expect a header in front of that.
    is_terminated = mode is TlsMode.TERMINATE
    origin = read_origin(item, _ORIGIN, ProxyProtocol.NONE if is_terminated else ProxyProtocol.V2)
    http = item.read("http_origin", _parse_http_origin) if item.has("http_origin") else None
    tls = read_origin_tls(item, is_terminated=is_terminated)
    http2 = _read_http2(item, is_terminated=is_terminated)
    clients = read_clients(item)
    check, is_sticky = read_check(item), read_affinity(item)
    if hostname is None or origin is None or item.problems:
        return None
    key = ServiceKey(ServiceKind.HTTPS, hostname)
    origin = replace(origin, gets_plaintext=is_terminated, tls=tls, http=http)
    return Service(
        key, origin, mode, clients=clients, check=check, is_sticky=is_sticky, http2=http2
    )


def _read_http2(item: Item, *, is_terminated: bool) -> bool:
    http2 = item.read("http2", parse_flag, default=False) or False
    if http2 and not is_terminated:
        rule = 'needs "tls_mode": "terminate": with passthrough client and origin choose what they speak'
        item.refuse("http2", f"{rule}; leave it out")
    return http2


def _parse_name(value: object) -> Hostname:
    if not isinstance(value, str):
        raise ValueError("is missing; give the public name, as in app.example.eu")  # noqa: TRY004 a mistake of a setting
    return parse_hostname(value)


def _parse_http_origin(value: object) -> tuple[str, int]:
    return parse_origin(value, _HTTP_ORIGIN)


def _parse_tls_mode(value: object) -> TlsMode:
    for mode in (TlsMode.PASSTHROUGH, TlsMode.TERMINATE):
        if value in (mode.value, {"mode": mode.value}):  # the original's form too
            return mode
    raise ValueError(f"must be passthrough or terminate, not {show(value)}")
