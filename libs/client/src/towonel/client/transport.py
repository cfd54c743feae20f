"""One HTTP request to the hub and its answer: bounded in time and size, failures with a code.

A hub is trusted with invites and grants, so `http://` is refused for any host but this one.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

import httpx
from pydantic import BaseModel, ValidationError

from towonel.client.envelope import error_from, printable
from towonel.client.request import (
    EVENTS,
    MAX_ANSWER_BYTES,
    MAX_PAGE_BYTES,
    HubRequest,
    Query,
    is_header_value,
)
from towonel.client.sse import Event, EventDecoder
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable

CONNECT_TIMEOUT_S = 5.0
MAX_PORT = 65_535
KEEP_ALIVE_S = 4.0  # below any server's, so that a request meets no connection being closed
SILENCE_S = 45.0  # of a stream, whose hub says something every 15 s


@dataclass(frozen=True, slots=True)
class Tagged[M]:
    """What the hub showed, and the ETag by which an edit can tell that it is still so."""

    value: M
    etag: str | None


class HubTransport:
    """Connections to one hub; `async with` closes them.

    Args:
        base_url: the hub's address, `https://host[:port][/path]`.
        operator_key: what operator requests are authorized with.
        allow_insecure: accept `http://` for hosts other than this one.
        transport: replaces the network, for tests.
        now_ms: wall clock in milliseconds since 1970.

    Raises:
        Denied: INVALID_REQUEST for an address that is not usable or not safe.
    """

    def __init__(
        self,
        base_url: str,
        *,
        operator_key: str | None = None,
        allow_insecure: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        url = parse_hub_url(base_url, allow_insecure=allow_insecure)
        self.base_url = str(url).rstrip("/")
        self._operator_key = operator_key
        self._now_ms = now_ms
        self._last_ms = 0
        self._http = _connections(url, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; requests in flight fail."""
        await self._http.aclose()

    @property
    def has_key(self) -> bool:
        """Whether requests that need a key can be made."""
        return self._operator_key is not None

    def _stamp_ms(self) -> int:
        """The time for a signature, never the same twice: the hub takes a repeated one for a replay."""
        self._last_ms = max(self._now_ms(), self._last_ms + 1)
        return self._last_ms

    def _bearer(self) -> str:
        if self._operator_key is None:
            raise Denied(Code.UNAUTHORIZED, "this needs the operator key, and none was given")
        if not is_header_value(self._operator_key):
            raise Denied(Code.UNAUTHORIZED, "the operator key has characters that no key has")
        return f"Bearer {self._operator_key}"

    def _with_key(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Query | None = None,
        also: Mapping[str, str | None] | None = None,
    ) -> HubRequest:
        return HubRequest(method, path, body, self._bearer(), query, also, max_bytes=MAX_PAGE_BYTES)

    async def _json[M: BaseModel](self, model: type[M], call: HubRequest) -> M:
        return parsed(model, await self._send(call), call)

    async def _with_etag[M: BaseModel](self, model: type[M], call: HubRequest) -> Tagged[M]:
        body, headers = await self._answer(call)
        return Tagged(parsed(model, body, call), headers.get("etag"))

    async def _send(self, call: HubRequest) -> bytes:
        body, _ = await self._answer(call)
        return body

    async def _answer(self, call: HubRequest) -> tuple[bytes, httpx.Headers]:
        async with self._reaching(call, call.timeout_s):
            response = await self._opened(call, call.timeout_s)
            try:
                return await _bounded(response, call.max_bytes), response.headers
            finally:
                await response.aclose()

    async def _events(self, call: HubRequest) -> AsyncGenerator[Event]:
        """Yield the events of a stream until the hub ends it, or is silent for `SILENCE_S`."""
        async with self._reaching(call, call.timeout_s):
            response = await self._opened(call, SILENCE_S)
        try:
            _check_events(response, call)
            decoder, pieces = EventDecoder(call.max_bytes), response.aiter_raw()
            while True:
                async with self._reaching(call, SILENCE_S):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                for event in decoder.feed(piece):
                    yield event
        finally:
            await response.aclose()

    async def _opened(self, call: HubRequest, read_s: float) -> httpx.Response:
        request = self._http.build_request(
            call.method,
            self.base_url + call.path,
            content=call.body,
            params=call.params(),
            headers=call.headers(),
            timeout=httpx.Timeout(call.timeout_s, connect=CONNECT_TIMEOUT_S, read=read_s),
        )
        response = await self._http.send(request, stream=True)
        if response.is_success:
            return response
        try:
            body = await _bounded(response, min(call.max_bytes, MAX_ANSWER_BYTES))
        finally:
            await response.aclose()
        raise error_from(response.status_code, body, response.headers)

    @contextlib.asynccontextmanager
    async def _reaching(self, call: HubRequest, within_s: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(within_s):
                yield
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            reason = printable(str(error)) or type(error).__name__
            detail = f"{call.method} {self.base_url}{call.path}: {reason}"
            raise Unavailable(
                Code.HUB_UNAVAILABLE, detail
            ) from None  # it holds the request's headers


def parsed[M: BaseModel](model: type[M], body: bytes | str, call: HubRequest) -> M:
    """Return what the hub said in answer to a call.

    Raises:
        ProtocolError: MALFORMED, naming the field; it quotes nothing.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(
            Code.MALFORMED, f"answer to {call.method} {call.path}: {name}: {first['msg']}"
        ) from None  # the cause would carry the answer, which may hold a token


def parse_hub_url(text: str, *, allow_insecure: bool = False) -> httpx.URL:
    """Return the address of a hub.

    Raises:
        Denied: INVALID_REQUEST for anything but `https://` (or `http://` to this host), and for
            passwords, queries and fragments.
    """
    try:
        text.encode()  # what is not UTF-8 would get past httpx in some places
        url = httpx.URL(text.strip())
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise Denied(Code.INVALID_REQUEST, f"the hub's URL is not one: {error}") from None
    rule = _broken_rule(url, allow_insecure=allow_insecure)
    if rule is not None:
        raise Denied(Code.INVALID_REQUEST, f"the hub's URL {rule}")
    return url


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by its spelling alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _broken_rule(url: httpx.URL, *, allow_insecure: bool) -> str | None:
    rules = {
        "must start with https://": url.scheme in {"https", "http"},
        "names no host": bool(url.host),
        "has a port beyond 65535, or 0": url.port is None or 0 < url.port <= MAX_PORT,
        "must not carry a user name or password": not url.userinfo,
        "must not have a query or a fragment": not (url.query or url.fragment),
        "must start with https:// unless the host is loopback or TOWONEL_ALLOW_INSECURE_HUB=true": (
            url.scheme == "https" or allow_insecure or is_loopback(url.host)
        ),
    }
    return next((rule for rule, holds in rules.items() if not holds), None)


def _connections(url: httpx.URL, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            transport=transport,
            # An empty context trusts nobody, and costs nothing where TLS is not used.
            verify=httpx.create_ssl_context()
            if url.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=not is_loopback(url.host),  # a proxy cannot reach our own loopback
            limits=httpx.Limits(max_connections=16, keepalive_expiry=KEEP_ALIVE_S),
        )
    except (ImportError, ValueError) as error:
        raise Denied(Code.INVALID_REQUEST, f"the proxy settings are not usable: {error}") from None


def _check_events(response: httpx.Response, call: HubRequest) -> None:
    found = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != EVENTS:
        raise ProtocolError(Code.MALFORMED, f"answer to {call.path}: no {EVENTS}")


async def _bounded(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        if len(body) + len(chunk) > max_bytes:
            raise ProtocolError(Code.TOO_LARGE, f"the hub's answer exceeds {max_bytes} bytes")
        body += chunk
    return bytes(body)
