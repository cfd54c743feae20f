"""HTTP client of the tests for servers of this machine, which speak no TLS."""

import asyncio
import contextlib
import ssl
from typing import Any

import httpx

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(**options: Any) -> httpx.AsyncClient:
    """Return a client that trusts no authority: loading them takes longer than most tests."""
    return httpx.AsyncClient(verify=_NO_AUTHORITIES, trust_env=False, **options)


async def get(port: int, target: str, host: str = "127.0.0.1") -> httpx.Response:
    """Return the answer of a server of this machine to one request on a connection of its own.

    It costs a tenth of a client: for what is asked until it is there.

    Raises:
        OSError: if nothing listens, or the connection ends before the answer.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        request = f"GET {target} HTTP/1.0\r\nHost: {host}\r\n\r\n"
        writer.write(request.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not head:
        raise ConnectionResetError("the connection ended before the answer")
    status, *lines = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)
