"""One HTTP request to the hub and its answer: bounded in time and size, failures with a code.

A hub is trusted with invites and grants, so `http://` is refused for any host but this one.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

import httpx
from pydantic import BaseModel, ValidationError

from towonel.client.envelope import error_from, printable
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # ten thousand invites; a route table has a limit of its own
MAX_PORT = 65_535
KEEP_ALIVE_S = 4.0  # below any server's, so that a request meets no connection being closed


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `authorization` is a whole header value, made for exactly this `body`."""

    method: str
    path: str
    body: bytes = b""
    authorization: str | None = None
    query: Mapping[str, int] | None = None
    max_bytes: int = MAX_ANSWER_BYTES
    timeout_s: float = TOTAL_TIMEOUT_S

    def headers(self) -> dict[str, str]:
        # Compressed answers would make the size limit meaningless.
        headers = {"accept-encoding": "identity", "accept": "application/json, application/cbor"}
        if self.body:
            headers["content-type"] = "application/json"
        if self.authorization is not None:
            headers["authorization"] = self.authorization
        return headers


class Exchange:
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

    def _stamp_ms(self) -> int:
        """The time for a signature, never the same twice: the hub takes a repeated one for a replay."""
        self._last_ms = max(self._now_ms(), self._last_ms + 1)
        return self._last_ms

    def _bearer(self) -> str:
        if self._operator_key is None:
            raise Denied(Code.UNAUTHORIZED, "this needs the operator key, and none was given")
        return f"Bearer {self._operator_key}"

    async def _json[M: BaseModel](self, model: type[M], call: Call) -> M:
        body = await self._send(call)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ProtocolError(
                Code.MALFORMED, f"answer to {call.method} {call.path}: {field}: {first['msg']}"
            ) from None  # the cause would carry the answer, which may hold a token

    async def _send(self, call: Call) -> bytes:
        try:
            async with asyncio.timeout(call.timeout_s):
                return await self._exchange(call)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            reason = printable(str(error)) or type(error).__name__
            detail = f"{call.method} {self.base_url}{call.path}: {reason}"
            raise Unavailable(
                Code.HUB_UNAVAILABLE, detail
            ) from None  # it holds the request's headers

    async def _exchange(self, call: Call) -> bytes:
        request = self._http.build_request(
            call.method,
            self.base_url + call.path,
            content=call.body,
            params=call.query,
            headers=call.headers(),
            timeout=httpx.Timeout(call.timeout_s, connect=CONNECT_TIMEOUT_S),
        )
        response = await self._http.send(request, stream=True)
        try:
            body = await _bounded(response, call.max_bytes)
        finally:
            await response.aclose()
        if not response.is_success:
            raise error_from(response.status_code, body, response.headers)
        return body


def parse_hub_url(text: str, *, allow_insecure: bool = False) -> httpx.URL:
    """Return the address of a hub.

    Raises:
        Denied: INVALID_REQUEST for anything but `https://` (or `http://` to this host), and for
            passwords, queries and fragments.
    """
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
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


async def _bounded(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        if len(body) + len(chunk) > max_bytes:
            raise ProtocolError(Code.TOO_LARGE, f"the hub's answer exceeds {max_bytes} bytes")
        body += chunk
    return bytes(body)
