"""Requests of the operator to a hub, which the checks of `helm test` share: a link in the files of each chart leads here.

They need API, the hub's address, and KEY_FILE, the operator's key.
"""

import json
import os
import pathlib
import time
import urllib.error
import urllib.request
from http import HTTPStatus

PATIENCE_S = 60
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def ask(method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
    """Return the hub's answer to a request that the operator's key signs for."""
    key = pathlib.Path(os.environ["KEY_FILE"]).read_text().strip()
    request = urllib.request.Request(
        os.environ["API"].rstrip("/") + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read() or b"{}")
    return found


def wait_for_hub() -> None:
    """Return once the hub answers, and does not refuse the key.

    A Service that is new is not yet known on every node: till then its address may be anybody's, who answers anything.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask("GET", "/v1/invites?limit=1")
        except OSError as error:
            is_refused = isinstance(error, urllib.error.HTTPError) and error.code in REFUSED
            if is_refused or time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return
