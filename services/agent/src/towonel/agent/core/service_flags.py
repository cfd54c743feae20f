"""Flags that name services: a short form for people of what the variables take as JSON.

--hostname app.example.eu --to 8443      an HTTPS service, from port 8443 of this machine
--tcp 2222:forgejo:22                    a TCP service, from port 22 of forgejo, with the public port 2222
--tcp ssh=auto:22                        one from this machine, with a name, and a port that the hub chooses
--udp dns=5353:127.0.0.1:53              a UDP service, of the same form
--udp game=27015-27030:192.0.2.7         a range of public ports, each to the same port of the host
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from towonel.agent.core.https_services import parse_https_services
from towonel.agent.core.service_items import parse_host, parse_origin, shorten
from towonel.agent.core.tcp_services import PORT_FIELD, RANGE_FIELD, parse_tcp_services
from towonel.agent.core.udp_services import parse_udp_services
from towonel.api.services import AUTO
from towonel.wire.addresses import LAST_PORT, is_port
from towonel.wire.names import ServiceKind
from towonel.wire.policy.port_ranges import split_range

TO_FORM: Final = "PORT or HOST:PORT, as in 8443, web:443 or [fd00::7]:443"
PORT_FORM: Final = "[NAME=]PUBLIC_PORT:[HOST:]PORT"
_RANGE_FORM: Final = "[NAME=]FIRST-LAST[:HOST]"
TCP_FORM: Final = (
    f"{PORT_FORM} or {_RANGE_FORM}, as in 2222:22, 2222:forgejo:22, ssh=auto:22 or 27015-27030:game"
)
UDP_FORM: Final = (
    f"{PORT_FORM} or {_RANGE_FORM}, as in 5353:53, 5353:router:53, dns=auto:53 or 40000-40100:pbx"
)
_PORTS: Final = f"with ports from 1 to {LAST_PORT}; the public one may be auto"
_PAIR: Final = "--hostname app.example.eu --to 8443"
_HOST: Final = "127.0.0.1"


def write_https(
    hostnames: Sequence[str], targets: Sequence[str], proxy_protocol: str | None
) -> str:
    """Return the HTTPS services of pairs of --hostname and --to, as JSON; nothing where there are none.

    Raises:
        ValueError: its text has a line for each mistake, with the flag and the fix.
    """
    if len(hostnames) != len(targets):
        counts = f"there are {len(hostnames)} of the one and {len(targets)} of the other"
        raise ValueError(f"--hostname: each goes with a --to, and {counts}; as in {_PAIR}")
    if proxy_protocol is not None and not hostnames:
        raise ValueError("--proxy-protocol: it is for services of --hostname, and there is none")
    proxy = {} if proxy_protocol is None else {"proxy_protocol": proxy_protocol}
    services: list[Mapping[str, object]] = []
    problems: list[str] = []
    for hostname, target in zip(hostnames, targets, strict=True):
        origin = _find_origin(target)
        if origin is None:
            problems.append(f"--to {shorten(target)}: must be {TO_FORM}")
        services.append({"hostname": hostname, "origin": origin, **proxy})
    return _write(services, problems, "--hostname", parse_https_services)


def write_tcp(flags: Sequence[str]) -> str:
    """Return the TCP services of --tcp as JSON; nothing where there are none.

    Raises:
        ValueError: its text has a line for each mistake, with the flag and the fix.
    """
    return _write_ports(ServiceKind.TCP, flags, TCP_FORM, parse_tcp_services)


def write_udp(flags: Sequence[str]) -> str:
    """Return the UDP services of --udp as JSON; nothing where there are none.

    Raises:
        ValueError: its text has a line for each mistake, with the flag and the fix.
    """
    return _write_ports(ServiceKind.UDP, flags, UDP_FORM, parse_udp_services)


def _write_ports(
    kind: ServiceKind, flags: Sequence[str], form: str, parse: Callable[[str], object]
) -> str:
    services: list[Mapping[str, object]] = []
    problems: list[str] = []
    unnamed: list[str] = []
    for flag in flags:
        name, _, rest = flag.rpartition("=")
        port, _, target = rest.partition(":")
        found = _find_port_and_origin(port, target)
        if found is None:
            problems.append(f"--{kind} {shorten(flag)}: must be {form}, {_PORTS}")
            continue
        if port == AUTO and not name:
            unnamed.append(shorten(flag))
        services.append({"name": name or f"{kind}-{port}", **found})
    if len(unnamed) > 1:
        fix = f"give each a name of its own, as in db={unnamed[1]}"
        problems.append(
            f"--{kind} {unnamed[1]}: is called {kind}-auto, as --{kind} {unnamed[0]} is; {fix}"
        )
    return _write(services, problems, f"--{kind}", parse)


def _find_port_and_origin(port: str, target: str) -> Mapping[str, object] | None:
    """Return the fields of a public port, or a range of them, and of what is behind it."""
    if split_range(port) is not None:
        host = target or _HOST
        return {"origin": host, RANGE_FIELD: port} if _is_host(host) else None
    origin = _find_origin(target)
    if origin is None or not (port == AUTO or is_port(port)):
        return None
    return {"origin": origin, PORT_FIELD: AUTO if port == AUTO else int(port)}


def _is_host(text: str) -> bool:
    try:
        parse_host(text)
    except ValueError:
        return False
    return True


def _find_origin(target: str) -> str | None:
    origin = target if ":" in target else f"{_HOST}:{target}"
    try:
        parse_origin(origin, "")
    except ValueError:
        return None
    return origin


def _write(
    services: Sequence[Mapping[str, object]],
    problems: list[str],
    flag: str,
    parse: Callable[[str], object],
) -> str:
    text = json.dumps(services, ensure_ascii=False) if services else ""
    if text and not problems:
        try:
            parse(text)
        except ValueError as error:
            problems += [f"{flag}: {line}" for line in str(error).split("\n")]
    if problems:
        raise ValueError("\n".join(problems))
    return text
