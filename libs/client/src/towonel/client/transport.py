"""HTTP connections to the hub: requests bounded in time and size, failures with a code.

A hub is trusted with invites and grants, so `http://` is refused for any host but this one.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPMethod

import httpx
from pydantic import BaseModel, ValidationError

from towonel.client.envelope import NotConnected, error_from, printable
from towonel.client.request import (
    EVENTS,
    MAX_ANSWER_BYTES,
    MAX_PAGE_BYTES,
    HubRequest,
    Query,
    is_header_value,
    measure_skew,
    next_timestamp,
)
from towonel.client.sse import Event, EventDecoder
from towonel.wire import hub_urls
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable

CONNECT_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 4.0  # below any server's, so that a request meets no connection being closed
# What OpenSSL verifies (its X509_V_ERR_…); its own text says which it was.
_NOT_VALID_NOW, _UNKNOWN_ISSUER = frozenset({9, 10}), frozenset({2, 18, 19, 20, 21})
SILENCE_S = 45.0  # of a stream, whose hub says something every 15 s


@dataclass(frozen=True, slots=True)
class Tagged[M]:
    """Answer of the hub with its ETag, which makes an edit conditional."""

    value: M
    etag: str | None


class HubTransport:
    """Pool of connections to one hub, with the key and the clock that authorize its requests.

    Arguments and errors as of `HubClient`.

    Attributes:
        observe_skew: called with how far our clock is ahead, in ms, with each answer that tells it.
    """

    def __init__(
        self,
        base_url: str,
        operator_key: str | None,
        now_ms: Callable[[], int],
        *,
        allow_insecure: bool = False,
        silence_s: float = SILENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url = to_httpx_url(base_url, allow_insecure=allow_insecure)
        self.base_url = str(url).rstrip("/")
        self._operator_key = operator_key
        self._now_ms = now_ms
        self._last_ms = 0
        self._silence_s = silence_s
        self.observe_skew: Callable[[int], None] = _ignore_skew
        self._http = _connections(url, transport)

    async def aclose(self) -> None:
        """Close the connections; requests in flight fail."""
        await self._http.aclose()

    @property
    def has_key(self) -> bool:
        """Whether requests that need a key can be made."""
        return self._operator_key is not None

    def timestamp_ms(self) -> int:
        """Return the time for a signature; see `next_timestamp`."""
        self._last_ms = next_timestamp(self._now_ms(), self._last_ms)
        return self._last_ms

    def bearer(self) -> str:
        """Return the header that authorizes with the key. Denied UNAUTHORIZED without one."""
        if self._operator_key is None:
            raise Denied(Code.UNAUTHORIZED, "this needs the operator key, and none was given")
        if not is_header_value(self._operator_key):
            raise Denied(Code.UNAUTHORIZED, "the operator key has characters that no key has")
        return f"Bearer {self._operator_key}"

    def with_key(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Query | None = None,
        extra_headers: Mapping[str, str | None] | None = None,
    ) -> HubRequest:
        """Return a request that the operator key or API key authorizes."""
        return HubRequest(
            method, path, body, self.bearer(), query, extra_headers, max_bytes=MAX_PAGE_BYTES
        )

    async def get[M: BaseModel](self, model: type[M], path: str, query: Query | None = None) -> M:
        """Return what a key may read there."""
        return await self.fetch(model, self.with_key(HTTPMethod.GET, path, query=query))

    async def get_with_etag[M: BaseModel](self, model: type[M], path: str) -> Tagged[M]:
        """Return what a key may read there, and its ETag."""
        return await self.fetch_with_etag(model, self.with_key(HTTPMethod.GET, path))

    async def post[M: BaseModel](
        self,
        model: type[M],
        path: str,
        body: BaseModel | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> M:
        """Make something there with a key; `idempotency_key` makes a repetition safe."""
        data = b"" if body is None else body.model_dump_json(exclude_none=True).encode()
        headers = {"idempotency-key": idempotency_key}
        request = self.with_key(HTTPMethod.POST, path, data, extra_headers=headers)
        return await self.fetch(model, request)

    async def edit[M: BaseModel](
        self, model: type[M], path: str, edit: BaseModel, *, if_match: str | None
    ) -> Tagged[M]:
        """Change the fields that `edit` sets. Denied PRECONDITION_FAILED if they changed since."""
        data = edit.model_dump_json(exclude_unset=True).encode()
        headers = {"if-match": if_match}
        request = self.with_key(HTTPMethod.PATCH, path, data, extra_headers=headers)
        return await self.fetch_with_etag(model, request)

    async def delete[M: BaseModel](self, model: type[M], path: str) -> M:
        """End with a key what is there."""
        return await self.fetch(model, self.with_key(HTTPMethod.DELETE, path))

    async def fetch[M: BaseModel](self, model: type[M], request: HubRequest) -> M:
        """Return the JSON answer to a request."""
        body, _ = await self._exchange(request)
        return parse_answer(model, body, request)

    async def fetch_with_etag[M: BaseModel](self, model: type[M], request: HubRequest) -> Tagged[M]:
        """Return the JSON answer to a request, with its ETag."""
        body, headers = await self._exchange(request)
        return Tagged(parse_answer(model, body, request), headers.get("etag"))

    async def fetch_bytes(self, request: HubRequest) -> bytes:
        """Return the answer to a request as it is."""
        body, _ = await self._exchange(request)
        return body

    async def events(self, request: HubRequest) -> AsyncGenerator[Event]:
        """Yield the events of a stream until the hub ends it, or is silent for too long."""
        async with self._time_limit(request, request.timeout_s):
            response = await self._open(request, self._silence_s)
        try:
            _check_events(response, request)
            decoder, pieces = EventDecoder(request.max_bytes), response.aiter_raw()
            while True:
                async with self._time_limit(request, self._silence_s):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                for event in decoder.feed(piece):
                    yield event
        finally:
            await response.aclose()

    async def _exchange(self, request: HubRequest) -> tuple[bytes, httpx.Headers]:
        async with self._time_limit(request, request.timeout_s):
            response = await self._open(request, request.timeout_s)
            try:
                return await _read(response, request.max_bytes), response.headers
            finally:
                await response.aclose()

    async def _open(self, request: HubRequest, read_s: float) -> httpx.Response:
        built = self._http.build_request(
            request.method,
            self.base_url + request.path,
            content=request.body,
            params=request.params(),
            headers=request.headers(),
            timeout=httpx.Timeout(request.timeout_s, connect=CONNECT_TIMEOUT_S, read=read_s),
        )
        sent_ms = self._now_ms()
        response = await self._http.send(built, stream=True)
        skew_ms = measure_skew(sent_ms, self._now_ms(), response.headers.get("date"))
        if skew_ms is not None:
            self.observe_skew(skew_ms)
        if response.is_success:
            return response
        try:
            body = await _read(response, min(request.max_bytes, MAX_ANSWER_BYTES))
        finally:
            await response.aclose()
        requested = f"{request.method} {self.base_url}{request.path}"
        raise error_from(response.status_code, body, response.headers, requested)

    @contextlib.asynccontextmanager
    async def _time_limit(self, request: HubRequest, within_s: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(within_s):
                yield
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            reason = (printable(str(error)) or type(error).__name__) + _find_certificate_fix(error)
            detail = f"{request.method} {self.base_url}{request.path}: {reason}"
            # Without the cause, which holds the request's headers.
            if isinstance(error, httpx.ConnectError):
                raise NotConnected(detail) from None
            raise Unavailable(Code.HUB_UNAVAILABLE, detail) from None


def _ignore_skew(_skew_ms: int) -> None:
    """Do without: operators see what agents and edges find."""


def parse_answer[M: BaseModel](model: type[M], body: bytes | str, request: HubRequest) -> M:
    """Return the body of an answer as its model.

    Raises:
        ProtocolError: MALFORMED, naming the field; it quotes nothing.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(
            Code.MALFORMED, f"answer to {request.method} {request.path}: {name}: {first['msg']}"
        ) from None  # the cause would carry the answer, which may hold a token


def to_httpx_url(text: str, *, allow_insecure: bool = False) -> httpx.URL:
    """Return the address of a hub.

    Raises:
        Denied: INVALID_REQUEST for anything but `https://` (or `http://` to this host), and for
            passwords, queries and fragments.
    """
    hub_urls.parse_hub_url(text, allow_insecure=allow_insecure)
    try:
        url = httpx.URL(text.strip())
        _ = url.host  # of an international name, decoded only here
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Denied(Code.INVALID_REQUEST, f"the hub's URL is invalid: {error}") from None
    return url


def _connections(url: httpx.URL, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            transport=transport,
            # Without TLS an empty context, which trusts no certificate and costs nothing.
            verify=httpx.create_ssl_context()
            if url.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=not hub_urls.is_loopback(url.host),  # a proxy cannot reach our own loopback
            limits=httpx.Limits(max_connections=16, keepalive_expiry=KEEP_ALIVE_S),
        )
    except (ImportError, ValueError) as error:
        raise Denied(Code.INVALID_REQUEST, f"the proxy settings are not usable: {error}") from None


def _find_certificate_fix(error: BaseException | None) -> str:
    """Return what to do where an error, or one that caused it, is of the hub's certificate."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is None:
        return ""
    if error.verify_code in _UNKNOWN_ISSUER:
        return "; if an authority of your own signed it, set SSL_CERT_FILE to its certificate"
    if error.verify_code in _NOT_VALID_NOW:
        return "; renew the certificate, or set the clock of this machine"
    return "; the certificate must be for the name in the hub's address"


def _check_events(response: httpx.Response, request: HubRequest) -> None:
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != EVENTS:
        raise ProtocolError(Code.MALFORMED, f"answer to {request.path}: no {EVENTS}")


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        if len(body) + len(chunk) > max_bytes:
            raise ProtocolError(Code.TOO_LARGE, f"the hub's answer exceeds {max_bytes} bytes")
        body += chunk
    return bytes(body)
