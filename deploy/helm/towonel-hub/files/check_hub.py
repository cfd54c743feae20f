"""Make an invite at a hub over its API, and revoke it: `helm test` runs this in the hub's image.

The hostname is of a domain that cannot exist.
"""

import os

from hub_api import ask, wait_for_hub

wait_for_hub()
name = f"helm-test-{os.urandom(4).hex()}"
made = ask(
    "POST", "/v1/invites", {"name": name, "hostnames": [f"{name}.invalid"], "expires_in_secs": 600}
)
invite = made["invite_id"]
ask("DELETE", f"/v1/invites/{invite}")
print(f"the hub made the invite {invite} and revoked it")
