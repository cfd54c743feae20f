"""Connect to each service as a client does: `helm test` runs this in the agent's image.

HOSTNAMES are what is published, with commas. They are looked up, unless EDGE, as host:port, is set. A TLS handshake that
is done has gone through the tunnel to the origin and back. Whose certificate it is, is shown and not checked: the origin's
authority may be known to its clients alone.
"""

import os
import socket
import ssl
import sys
import time

PATIENCE_S = 60


def connect(hostname: str) -> str:
    """Return the version of TLS that was agreed on with the origin of this hostname."""
    host, _, port = (os.environ["EDGE"] or f"{hostname}:443").rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as client,
    ):
        return str(client.version())


def check(hostname: str) -> bool:
    """Print how a service answers; return whether it does in time."""
    end, why = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < end:
        try:
            version = connect(hostname)
        except OSError as error:
            why = repr(error)
        else:
            print(f"{hostname}: the origin answers, with {version}")
            return True
        time.sleep(0.5)
    print(f"{hostname}: {why}")
    return False


sys.exit(not all([check(hostname) for hostname in os.environ["HOSTNAMES"].split(",")]))  # noqa: C419 each of them is checked
