"""Addresses of listeners, as seen from their own machine."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 compared, never bound


def loopback_url(listen_addr: tuple[str, int]) -> str:
    """Return the URL at which a listener is reached from its own machine."""
    host, port = listen_addr
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
