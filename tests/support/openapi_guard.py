"""Guard of the OpenAPI document: it notes each answer of a hub that the document does not list."""

import json
import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope, Send
from support.openapi import document


@cache
def documented() -> dict[str, dict[int, set[str]]]:
    """Return the error codes that each status of each operation may have."""
    shared = document()["components"]["responses"]
    return {
        operation["operationId"]: {
            int(status): set(re.findall(r"`([a-z_]+)`", _description(response, shared)))
            for status, response in operation["responses"].items()
        }
        for methods in document()["paths"].values()
        for operation in methods.values()
    }


def _description(response: dict[str, Any], shared: dict[str, Any]) -> str:
    name = response.get("$ref", "").rpartition("/")[2]
    return str(shared[name]["description"] if name else response["description"])


class OpenApiGuard:
    """ASGI middleware around a hub's API that notes answers missing in the document."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.surprises = set[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 0, b""

        async def seen(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            if status >= 400:
                body += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, seen)
        route = scope.get("route")
        if isinstance(route, APIRoute) and scope["method"] in (route.methods or ()) and status:
            self._compare(route.name, status, body)

    def _compare(self, operation: str, status: int, body: bytes) -> None:
        listed = documented()[operation]
        word = json.loads(body)["error"]["code"] if status >= 400 else ""
        if status not in listed or (word and word not in listed[status]):
            self.surprises.add(f"{operation}: {status} {word}".rstrip())
