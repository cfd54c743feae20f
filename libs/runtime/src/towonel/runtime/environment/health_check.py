"""Health check of a program from beside it: for containers, whose images have no curl.

An engine starts it every few seconds beside a program that may have nothing to do. So it reads one variable, and
imports as little as it can: with the settings, and Python's client for HTTP, it would take ten times as long.
"""

import os
import re
import socket
import sys

from towonel.runtime.addresses import EXAMPLE_ADDRESS, WILDCARDS, format_address, parse_address
from towonel.runtime.environment.values import normalize, read_values
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_SETTINGS

TIMEOUT_S = 3.0
_MAX_BYTES = 64 * 1024
_OK = b"200"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})", re.IGNORECASE)


def check_health(
    variable: str, default: tuple[str, int], given: tuple[str, int] | None = None
) -> int:
    """Say whether the program of this environment is ready, and return the exit code.

    Args:
        variable: names where it serves its health.
        default: where that is without the variable.
        given: where it is, whatever the variable says.
    """
    address, problems = (given, []) if given else find_listener(variable, default)
    reason = find_unreadiness(address) if not problems else "\n".join(problems)
    if reason is not None:
        print(reason, file=sys.stderr)  # noqa: T201
        return EXIT_SETTINGS if problems else EXIT_FAILED
    print("ready")  # noqa: T201
    return EXIT_OK


def find_listener(variable: str, default: tuple[str, int]) -> tuple[tuple[str, int], list[str]]:
    """Return the address that a variable of this environment names, and what is wrong with it."""
    reading = read_values((variable,), normalize(os.environ))  # noqa: TID251 no class of settings knows just this one
    if reading.problems or variable not in reading.values:
        return default, reading.problems
    try:
        return parse_address(reading.values[variable]), []
    except ValueError as error:
        rule = str(error).replace(EXAMPLE_ADDRESS, format_address(*default))
        return default, [f"{variable}: {rule}"]


def find_unreadiness(address: tuple[str, int], timeout_s: float = TIMEOUT_S) -> str | None:
    """Return why a program is not ready, by its /readyz; None if it is.

    Args:
        address: where it serves its health; of a wildcard, the loopback address is asked.
        timeout_s: for each step of the request.
    """
    host, port = WILDCARDS.get(address[0], address[0]), address[1]
    where = format_address(host, port)
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            request = f"GET /readyz HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            status, body = _read_answer(connection)
    except (OSError, ValueError) as error:
        return f"nothing answers at {where}: {str(error) or type(error).__name__}"
    return None if status == _OK else _describe(status.decode(), body, where)


def _read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return status and body of an answer.

    Raises:
        OSError: there is none in time.
        ValueError: it is not HTTP.
    """
    answer = b""
    while not _is_whole(answer) and (part := connection.recv(_MAX_BYTES)):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    version, status, *_ = (*head.split(None, 2), b"", b"")
    if not (version.startswith(b"HTTP/1.") and status.isdigit()):
        raise ValueError("it does not speak HTTP")
    return status, body


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has come in full: one that does not say its length ends with its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return len(answer) > _MAX_BYTES or (length is not None and len(body) >= int(length[1]))


def _describe(status: str, body: bytes, where: str) -> str:
    import json  # noqa: PLC0415 of a program that is well nothing is read

    try:
        answer = json.loads(body)
        reasons = [f"{check}: {reason}" for check, reason in answer["reasons"].items()]
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"what answers at {where} is another program: status {status} for /readyz"
    return f"not ready: {'; '.join(reasons)}"
