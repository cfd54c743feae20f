"""Addresses of listeners, as seen from their own machine."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 compared, never bound


def local_hub_url(listen_addr: tuple[str, int]) -> str:
    """Return where a hub that listens there is found from its own machine."""
    host, port = listen_addr
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
