"""Make an invite at a hub over its API, and revoke it: `helm test` runs this in the hub's image.

It needs API, the hub's address, and KEY_FILE, the operator's key. The hostname is of a domain that cannot exist.
"""

import json
import os
import pathlib
import time
import urllib.error
import urllib.request

PATIENCE_S = 60


def ask(method: str, path: str, body: dict[str, object] | None = None) -> dict[str, dict[str, str]]:
    """Return the answer to a request that the operator's key signs for."""
    key = pathlib.Path(os.environ["KEY_FILE"]).read_text().strip()
    request = urllib.request.Request(
        os.environ["API"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, dict[str, str]] = json.loads(answer.read() or b"{}")
    return found


def wait_for_hub() -> None:
    """Return once the hub answers: a Service that is new is not yet known on every node."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask("GET", "/v1/invites?limit=1")
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return


wait_for_hub()
name = f"helm-test-{os.urandom(4).hex()}"
made = ask(
    "POST", "/v1/invites", {"name": name, "hostnames": [f"{name}.invalid"], "expires_in_secs": 600}
)
invite = made["invite_id"]
ask("DELETE", f"/v1/invites/{invite}")
print(f"the hub made the invite {invite} and revoked it")
