"""HTTP client of the tests for servers of this machine, which speak no TLS."""

import ssl
from typing import Any

import httpx

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(**options: Any) -> httpx.AsyncClient:
    """Return a client that trusts no authority: loading them takes longer than most tests."""
    return httpx.AsyncClient(verify=_NO_AUTHORITIES, trust_env=False, **options)
