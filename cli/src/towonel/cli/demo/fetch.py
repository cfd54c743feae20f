"""A visitor from outside: one HTTPS request, verified against the service's certificate alone."""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from towonel.cli.demo.plan import HOST, HOSTNAME

VISIT_S = 10.0
PATIENCE_S = 15.0  # for the route to reach the edge
PAUSE_S = 0.1
MAX_PAGE_BYTES = 64 * 1024


class VisitFailed(Exception):
    """The page could not be had; the text says what the visitor met."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the visitor saw: the status line, the page's heading, the certificate in DER."""

    status: str
    heading: str
    certificate: bytes
    protocol: str


async def visit(port: int, certificate: Path, patience_s: float = PATIENCE_S) -> Visit:
    """Ask for the page through the edge on `port` until it answers, for `patience_s` seconds.

    Raises:
        VisitFailed: with what went wrong last.
    """
    last = "no answer"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while True:
                try:
                    return await _visit(port, certificate)
                except (OSError, EOFError, VisitFailed) as error:
                    last = str(error) or type(error).__name__
                await asyncio.sleep(PAUSE_S)
    raise VisitFailed(last)


async def _visit(port: int, certificate: Path) -> Visit:
    context = ssl.create_default_context(cafile=str(certificate))
    async with asyncio.timeout(VISIT_S):
        reader, writer = await asyncio.open_connection(
            HOST, port, ssl=context, server_hostname=HOSTNAME
        )
        try:
            writer.write(
                f"GET / HTTP/1.1\r\nHost: {HOSTNAME}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await _whole(reader)
            return _seen(answer, writer.get_extra_info("ssl_object"))
        finally:
            writer.transport.abort()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while chunk := await reader.read(MAX_PAGE_BYTES):
        answer += chunk
        if len(answer) > MAX_PAGE_BYTES:
            raise VisitFailed(f"the page exceeds {MAX_PAGE_BYTES} bytes")
    return bytes(answer)


def _seen(answer: bytes, tls: ssl.SSLObject) -> Visit:
    status, _, rest = answer.decode(errors="replace").partition("\r\n")
    heading = re.search(r"<h1>([^<]*)</h1>", rest)
    if " 200 " not in f"{status} " or heading is None:
        raise VisitFailed(f"the answer was {status!r}, not the page")
    return Visit(status, heading[1], tls.getpeercert(binary_form=True) or b"", tls.version() or "")
