"""Proxy in front of pebble: what pebble of Debian has not, renewal information, and what orders said."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from support.pebble import Pebble

HEADERS = ("replay-nonce", "location", "content-type", "link", "retry-after")


class AuthorityProxy:
    """Proxy that adds renewal information to an authority.

    Attributes:
        has_renewals: whether it has that at all.
        window: of time that it suggests for each renewal; None for an answer of 500.
        requested: identifiers of certificates, in order.
        replaced: what new orders said to replace.
    """

    def __init__(self, behind: Pebble, http: httpx.AsyncClient) -> None:
        self.has_renewals = True
        self.window: tuple[datetime, datetime] | None = None
        self.requested: list[str] = []
        self.replaced: list[str | None] = []
        self.address = ""
        self._behind, self._http = behind, http

    @property
    def directory(self) -> str:
        return f"https://{self.address}/dir"

    def suggest(self, start: datetime) -> None:
        self.window = start, start + timedelta(seconds=1)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = head[0].split(" ")
                writer.write(await self._answer(method, path, headers.get("content-type"), body))
        writer.close()

    async def _answer(self, method: str, path: str, kind: str | None, body: bytes) -> bytes:
        if path.startswith("/renewal/"):
            return self._suggest(path.removeprefix("/renewal/"))
        url = self._behind.directory.removesuffix("/dir") + path
        headers = {"host": self.address} | ({"content-type": kind} if kind else {})
        found = await self._http.request(method, url, content=body, headers=headers)
        content = found.content
        if path == "/dir":
            own = {"renewalInfo": f"https://{self.address}/renewal"} if self.has_renewals else {}
            fields = {name: url for name, url in found.json().items() if name != "renewalInfo"}
            content = json.dumps(fields | own).encode()
        elif "replaces" in (payload := _decode(body)) or "identifiers" in payload:
            self.replaced.append(payload.get("replaces"))
        passed = {name: found.headers[name] for name in HEADERS if name in found.headers}
        return _encode(found.status_code, passed, content, has_body=method != "HEAD")

    def _suggest(self, identifier: str) -> bytes:
        self.requested.append(identifier)
        if self.window is None:
            return _encode(500, {}, b"no answer")
        start, end = (each.isoformat().replace("+00:00", "Z") for each in self.window)
        content = json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode()
        return _encode(200, {"content-type": "application/json", "retry-after": "60"}, content)


def _decode(body: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, KeyError):
        payload = json.loads(body)["payload"]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return found
    return {}


def _encode(
    status: int, headers: dict[str, str], content: bytes, *, has_body: bool = True
) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} x", f"content-length: {len(content)}", *lines, "", ""])
    return head.encode() + (content if has_body else b"")


@contextlib.asynccontextmanager
async def authority_proxy(behind: Pebble, folder: Path) -> AsyncIterator[AuthorityProxy]:
    """Run a proxy with the authority's own certificate, which is in its folder."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "pebble.crt", folder / "pebble.key")
    async with httpx.AsyncClient(verify=behind.trust()) as http:
        proxy = AuthorityProxy(behind, http)
        server = await asyncio.start_server(proxy.answer, "127.0.0.1", 0, ssl=context)
        async with server:
            proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield proxy
