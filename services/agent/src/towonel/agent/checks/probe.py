"""Probe of an origin: one check, over a connection of its own."""

import asyncio
import re
import socket
import ssl
from copy import replace
from typing import Final

from towonel.agent.core.checks.origin_check import CheckKind, OriginCheck
from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.tls.origin_contexts import OriginContexts, describe_handshake_error
from towonel.runtime.logs import describe_error
from towonel.wire.errors import Unavailable
from towonel.wire.names import ServiceKind

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?\r?\n")
_HEALTHY: Final = range(200, 400)
_LINE_BYTES: Final = 4096  # of a status; what follows is not read


class OriginProbe:
    """Probe that connects as clients' connections do, and says in the PROXY header that it is none.

    Args:
        dialer: of origins.
    """

    def __init__(self, dialer: OriginDialer) -> None:
        self._dialer = dialer
        self._contexts = OriginContexts()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # certificates are between clients and the origin

    async def run(self, service: Service, check: OriginCheck) -> str | None:
        """Return what is wrong with the origin of a service, or None where it is as it should be."""
        origin = replace(service.origin, last_port=None)  # of a range the first port
        if check.address is not None:
            origin = Origin(*check.address, ProxyProtocol.NONE)
        try:
            async with asyncio.timeout(check.timeout_s):
                return await self._ask(service, check, origin)
        except TimeoutError:
            return f"{origin}: no answer in {check.timeout_s} s"
        except Unavailable as error:  # its authorities cannot be read
            return f"{origin}: {error.detail}"
        except ssl.SSLError as error:
            return f"{origin}: {_describe_tls_error(origin, error)}"
        except (OSError, ValueError) as error:
            return f"{origin}: {describe_error(error)}"

    async def _ask(self, service: Service, check: OriginCheck, origin: Origin) -> str | None:
        sock = await self._dialer.connect_as_nobody(origin)
        try:
            if check.kind is CheckKind.TCP:
                return None
            return await self._converse(service, check, origin, sock)
        finally:
            sock.close()

    async def _converse(
        self, service: Service, check: OriginCheck, origin: Origin, sock: socket.socket
    ) -> str | None:
        name = service.key.name if service.key.kind is ServiceKind.HTTPS else origin.host
        name = name.replace("*", "check", 1)
        tls, server_name = self._choose_tls(check, origin, name)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=server_name, limit=_LINE_BYTES
        )
        try:
            if check.kind is CheckKind.TLS:
                return None
            host = f"[{name}]" if ":" in name else name
            writer.write(
                f"GET {check.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: towonel-agent\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            line = await reader.readline()
            found = _STATUS.fullmatch(line)
            if found is not None and int(found[1]) in _HEALTHY:
                return None
            answer = line[:50].decode(errors="replace").strip()
            return f"{origin}: answers {check.path} with {answer or 'nothing'}"
        finally:
            writer.transport.abort()

    def _choose_tls(
        self, check: OriginCheck, origin: Origin, name: str
    ) -> tuple[ssl.SSLContext | None, str | None]:
        """Return the context of a check, and the name that is asked for: those of clients, where these have some."""
        if check.kind is CheckKind.HTTP:
            return None, None
        if origin.tls is None:
            return self._tls, name
        return self._contexts.find(
            origin.tls, asyncio.get_running_loop().time()
        ), origin.tls.server_name


def _describe_tls_error(origin: Origin, error: ssl.SSLError) -> str:
    if origin.tls is None:
        return describe_error(error)
    is_proxied = origin.proxy_protocol is ProxyProtocol.V2
    return describe_handshake_error(origin.tls, error, proxied=is_proxied)
