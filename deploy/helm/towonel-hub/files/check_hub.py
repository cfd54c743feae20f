"""Make an invite at a hub over its API, and revoke it: `helm test` runs this in the hub's image.

It needs API, the hub's address, and KEY_FILE, the operator's key. The hostname is of a domain that cannot exist.
"""

import json
import os
import pathlib
import sys
import urllib.request


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


name = f"helm-test-{os.urandom(4).hex()}"
made = ask(
    "POST", "/v1/invites", {"name": name, "hostnames": [f"{name}.invalid"], "expires_in_secs": 600}
)
invite = made["invite"]["invite_id"]
ask("DELETE", f"/v1/invites/{invite}")
print(f"the hub made the invite {invite} and revoked it")
sys.exit()
