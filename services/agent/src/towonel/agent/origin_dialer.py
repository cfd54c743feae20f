"""Dialer of origins: every address of the name, and a PROXY header where one is wanted."""

import asyncio
import errno
import socket

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.agent.origin_pipe import OriginPipe
from towonel.runtime.dns.resolver import Resolver, SocketAddress
from towonel.tunnel.tcp_keepalive import keep_alive
from towonel.wire import proxy
from towonel.wire.errors import Code, Unavailable
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import ProxyHeader

ATTEMPT_DELAY_S = 0.25  # between two addresses (RFC 8305 §5)
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


class OriginDialer:
    """Dialer of the origins of the environment.

    Args:
        resolver: of their names.
        timeout_s: for the name, the connection and the PROXY header together.
    """

    def __init__(self, resolver: Resolver, timeout_s: float) -> None:
        self._resolver = resolver
        self._timeout_s = timeout_s

    async def dial(self, origin: Origin, preamble: Preamble) -> OriginPipe:
        """Connect, and send a PROXY header to an origin that wants one.

        Raises:
            Unavailable: ORIGIN_TIMEOUT, ORIGIN_REFUSED, ORIGIN_RESET or ORIGIN_UNREACHABLE.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                pipe = OriginPipe(await self._connect(origin))
                if origin.proxy_protocol is ProxyProtocol.V2:
                    await _send_proxy_header(pipe, preamble)
                return pipe
        except TimeoutError as error:
            detail = f"{origin}: no answer in {self._timeout_s:g} s"
            raise Unavailable(Code.ORIGIN_TIMEOUT, detail) from error
        except OSError as error:
            raise Unavailable(to_code(error), f"{origin}: {error.strerror or error}") from error

    async def _connect(self, origin: Origin) -> socket.socket:
        """Connect to any address of an origin; where none answers, it may have others by now."""
        addresses = await self._resolver.resolve(origin.host, origin.port)
        try:
            return await _connect_any(addresses)
        except OSError:
            self._resolver.expire(origin.host)
            others = await self._resolver.resolve(origin.host, origin.port)
            if set(others) == set(addresses):
                raise
            return await _connect_any(others)


async def _connect_any(addresses: tuple[SocketAddress, ...]) -> socket.socket:
    infos = [
        (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
            "",
            address,
        )
        for address in addresses
    ]
    sock = await start_connection(infos, happy_eyeballs_delay=ATTEMPT_DELAY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock)
    return sock


async def _send_proxy_header(pipe: OriginPipe, preamble: Preamble) -> None:
    tlvs = ((proxy.TLV_AUTHORITY, preamble.authority.encode()),) if preamble.authority else ()
    header = proxy.encode(ProxyHeader(preamble.source, preamble.destination, tlvs))
    try:
        await pipe.write(header)
    except BaseException:
        await pipe.close()
        raise


def to_code(error: OSError) -> Code:
    """Return the code of a connection that did not come about."""
    if isinstance(error, ConnectionRefusedError):
        return Code.ORIGIN_REFUSED
    if error.errno in _UNREACHABLE or isinstance(error, socket.gaierror):
        return Code.ORIGIN_UNREACHABLE
    return Code.ORIGIN_RESET
