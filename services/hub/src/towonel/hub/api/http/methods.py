"""Methods of a path: HEAD wherever there is GET (RFC 9110 §9.3.2), and a complete Allow."""

import asyncio

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path
from starlette.types import Message, Receive, Scope, Send


def find_methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods of all routes of a path: the framework tells those of one route only."""
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        if route.methods and route.path and compile_path(route.path)[0].match(path):
            found |= route.methods
    return sorted(found | {"HEAD"} if "GET" in found else found)


def as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """Return a HEAD request as the GET request whose headers it asks for."""
    exchange = _HeadExchange(receive, send)
    return {**scope, "method": "GET"}, exchange.receive, exchange.send


class _HeadExchange:
    """Exchange of a HEAD request: the headers of the response to GET, and no body.

    A stream would make one for ever: to it, the client leaves once it has the headers.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._has_request = False
        self._is_answered = asyncio.Event()

    async def receive(self) -> Message:
        """Return the request, and then that the client left."""
        if not self._has_request:
            self._has_request = True
            return await self._receive()
        await self._is_answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a message without its body."""
        if message["type"] != "http.response.body":
            await self._send(message)
        elif not self._is_answered.is_set():
            self._is_answered.set()
            await self._send({"type": "http.response.body", "body": b""})
