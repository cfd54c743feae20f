"""Rules of single values of an edge's settings; each says what is wrong by ValueError."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from towonel.client.transport import to_httpx_url
from towonel.runtime.addresses import EXAMPLE_ADDRESS, is_ip
from towonel.runtime.settings import HostPort
from towonel.wire.errors import TowonelError
from towonel.wire.names import parse_region
from towonel.wire.tokens import EdgeToken


def check_ip(address: tuple[str, int]) -> tuple[str, int]:
    """Return an address whose host is an IP address."""
    if not is_ip(address[0]):
        raise ValueError(f"must be an IP address and a port, as in {EXAMPLE_ADDRESS}")
    return address


def parse_share(value: object) -> object:
    """Return a share of 0 to 1, or what stands for one."""
    words = {"off": 0.0, "false": 0.0, "no": 0.0, "on": 1.0, "true": 1.0, "yes": 1.0}
    text = str(value).strip().lower()
    try:
        share = words[text] if text in words else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:  # not a number is neither
        raise ValueError("must be on, off, or a share from 0 to 1, as in 0.01 for one in a hundred")
    return share


def check_url(value: str) -> str:
    """Return a hub's URL."""
    try:
        to_httpx_url(value, allow_insecure=True)
    except TowonelError as error:
        raise ValueError(error.detail) from None
    return value


def decode_hub(token: SecretStr) -> str:
    """Return the hub of a token."""
    return EdgeToken.decode(token.get_secret_value()).hub_url


def check_mail(value: str) -> str:
    """Return an address of mail."""
    if not re.fullmatch(r"[^\s{}\"@]+@[^\s{}\"@]+", value):
        raise ValueError("must be an address of mail, as in me@example.eu")
    return value


def check_region(value: str) -> str:
    """Return the name of a region."""
    try:
        return parse_region(value)
    except TowonelError as error:
        raise ValueError(error.detail) from None


def check_authority(value: str) -> str:
    """Return the address of an authority, which is never asked in clear."""
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be a URL that begins with https://")
    return value


type IpPort = Annotated[HostPort, AfterValidator(check_ip)]
