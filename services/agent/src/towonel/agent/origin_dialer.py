"""Dialer of origins: every address of the name, and a PROXY header where one is wanted."""

import asyncio
import socket

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from towonel.agent.core.origin_attempts import ATTEMPT_DELAY_S, to_code
from towonel.agent.core.proxy_header import encode_proxy_header
from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.agent.origin_pipe import OriginPipe
from towonel.relay.sockets import tune
from towonel.runtime.dns.resolver import Resolver, SocketAddress
from towonel.wire import proxy
from towonel.wire.errors import Code, Unavailable
from towonel.wire.preamble import Preamble


class OriginDialer:
    """Dialer of the origins of the environment.

    Args:
        resolver: of their names.
        timeout_s: for the name, the connection and the PROXY header together.

    Attributes:
        resolver: as given.
    """

    def __init__(self, resolver: Resolver, timeout_s: float) -> None:
        self.resolver = resolver
        self._timeout_s = timeout_s

    async def dial(self, origin: Origin, preamble: Preamble) -> OriginPipe:
        """Connect, and send a PROXY header to an origin that wants one.

        Raises:
            Unavailable: ORIGIN_TIMEOUT, ORIGIN_REFUSED, ORIGIN_RESET or ORIGIN_UNREACHABLE.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                port = origin.port if origin.ports is None else preamble.port
                pipe = OriginPipe(await self.connect(origin, port), origin.idle_timeout_s)
                if origin.proxy_protocol is ProxyProtocol.V2:
                    await _send_proxy_header(pipe, preamble)
                return pipe
        except TimeoutError as error:
            detail = f"{origin}: no answer in {self._timeout_s:g} s"
            raise Unavailable(Code.ORIGIN_TIMEOUT, detail) from error
        except OSError as error:
            raise Unavailable(_code_of(error), f"{origin}: {error.strerror or error}") from error

    async def connect(self, origin: Origin, port: int | None = None) -> socket.socket:
        """Connect to any address of an origin; where none answers, it may have others by now.

        Args:
            origin: has the host.
            port: of a range; the origin's own otherwise.

        Raises:
            OSError: none did.
        """
        port = origin.port if port is None else port
        addresses = await self.resolver.resolve(origin.host, port)
        try:
            return await _connect_any(addresses)
        except OSError:
            self.resolver.expire(origin.host)
            others = await self.resolver.resolve(origin.host, port)
            if set(others) == set(addresses):
                raise
            return await _connect_any(others)

    async def connect_as_nobody(self, origin: Origin) -> socket.socket:
        """Connect as `connect`, and say in a PROXY header, to an origin that wants one, that this is no client."""
        sock = await self.connect(origin)
        try:
            if origin.proxy_protocol is ProxyProtocol.V2:
                await asyncio.get_running_loop().sock_sendall(sock, proxy.LOCAL)
        except BaseException:
            sock.close()
            raise
        return sock


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
    tune(sock)
    return sock


async def _send_proxy_header(pipe: OriginPipe, preamble: Preamble) -> None:
    try:
        await pipe.write(encode_proxy_header(preamble))
    except BaseException:
        await pipe.close()
        raise


def _code_of(error: OSError) -> Code:
    is_of_name = isinstance(error, socket.gaierror)
    return Code.ORIGIN_UNREACHABLE if is_of_name else to_code(error.errno)
