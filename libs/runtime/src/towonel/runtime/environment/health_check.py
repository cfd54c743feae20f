"""Health check of a program from beside it: for containers, whose images have no curl."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from towonel.runtime.addresses import WILDCARDS, format_address

TIMEOUT_S: Final = 3.0
_MAX_BYTES: Final = 64 * 1024


def find_unreadiness(address: tuple[str, int], timeout_s: float = TIMEOUT_S) -> str | None:
    """Return why a program is not ready, by its /readyz; None if it is.

    Args:
        address: where it serves its health; of a wildcard, the loopback address is asked.
        timeout_s: for each step of the request.
    """
    host, port = WILDCARDS.get(address[0], address[0]), address[1]
    where = format_address(host, port)
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES)
    except (OSError, HTTPException) as error:
        return f"nothing answers at {where}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None if answer.status == 200 else _describe(answer.status, body, where)  # noqa: PLR2004


def _describe(status: int, body: bytes, where: str) -> str:
    try:
        answer: Any = json.loads(body)
        reasons = [f"{check}: {reason}" for check, reason in answer["reasons"].items()]
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"what answers at {where} is another program: status {status} for /readyz"
    return f"not ready: {'; '.join(reasons)}"
