"""URLs of a hub: one rule for the hub that hands its URL out, and for whoever dials it.

    https://hub.example.eu:8443/path        http:// only to this machine, where not allowed elsewhere

Source: RFC 3986; what no HTTP client could dial, or would dial otherwise than it reads, is refused.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from towonel.wire.addresses import LAST_PORT, is_port
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.names import LABEL, MAX_HOSTNAME_CHARS, Hostname, parse_server_name

MAX_URL_CHARS = 2048  # a token has room for it
HTTPS_PORT = 443
_SCHEME = re.compile(r"https?://", re.ASCII | re.IGNORECASE)
_SCHEME_RULE = "must start with https://"
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.ASCII)  # as the last label only of an address


@dataclass(frozen=True, slots=True)
class HubUrl:
    """URL of a hub: the parts that decide how it is dialled."""

    scheme: str
    host: str
    port: int | None = None

    @property
    def is_cleartext(self) -> bool:
        """Whether secrets would cross a network in the clear."""
        return self.scheme == "http" and not is_loopback(self.host)


def parse_hub_url(text: str, *, allow_insecure: bool = False) -> HubUrl:
    """Return the parts of a hub's URL.

    Raises:
        Denied: INVALID_REQUEST, with the rule that it breaks.
    """
    text = text.strip()
    try:
        url = _parse(text)
    except ValueError as error:
        raise Denied(Code.INVALID_REQUEST, f"the hub's URL {error}") from None
    if url.is_cleartext and not allow_insecure:
        rule = "unless the host is loopback or TOWONEL_ALLOW_INSECURE_HUB=true"
        raise Denied(Code.INVALID_REQUEST, f"the hub's URL {_SCHEME_RULE} {rule}")
    return url


def find_public_name(text: str, port: int) -> Hostname | None:
    """Return the name of a hub whose clients come to an edge, by its URL: it has TLS, on the edge's port.

    Args:
        text: the hub's public URL.
        port: that the edge listens on; to clients it may be 443 all the same.
    """
    try:
        url = parse_hub_url(text, allow_insecure=True)
        name = parse_server_name(url.host.removesuffix("."))
    except (Denied, ProtocolError):  # among others for a name without a dot
        return None
    comes_here = url.scheme == "https" and (url.port or HTTPS_PORT) in {port, HTTPS_PORT}
    is_address = _NUMBER.fullmatch(name.rpartition(".")[2]) is not None
    return name if comes_here and not is_address else None


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by its spelling alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(text: str) -> HubUrl:
    if not _SCHEME.match(text):
        raise ValueError(_SCHEME_RULE + _suggest_scheme(text))
    if len(text) > MAX_URL_CHARS:
        raise ValueError(f"must have at most {MAX_URL_CHARS} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "must be ASCII without white space; a name with other letters is written as xn--…"
        )
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or a fragment")
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("must not carry a user name or password")
    if not _PATH.fullmatch(path):
        raise ValueError("has a path with characters that no URL has")
    return HubUrl(scheme.lower(), *_parse_host(authority))


def _suggest_scheme(text: str) -> str:
    """Return what a text without a scheme should be, if it is an address of this machine."""
    try:
        host, _ = _parse_host(text)
    except ValueError:
        return ""
    return (
        f", or be http://{text} for this machine" if is_loopback(host) and "@" not in text else ""
    )


def _parse_host(authority: str) -> tuple[str, int | None]:
    try:
        name = urlsplit(f"//{authority}").hostname or ""
    except ValueError:  # of brackets that do not match, or hold no address
        name = ""
    end = authority.rfind("]") + 1
    _, colon, digits = authority[end:].partition(":")
    if not name:
        raise ValueError("names no host, as in https://hub.example.eu:8443")
    if colon and not is_port(digits):
        raise ValueError(f"has a port that is none: it must be from 1 to {LAST_PORT}")
    _check_host(name, in_brackets=end > 0)
    return name, int(digits) if digits else None


def _check_host(host: str, *, in_brackets: bool) -> None:
    labels = host.removesuffix(".").split(".")
    is_valid = len(host) <= MAX_HOSTNAME_CHARS and all(map(_is_label, labels))
    if in_brackets or _NUMBER.fullmatch(labels[-1]):
        try:
            is_valid = isinstance(ip_address(host), IPv6Address) is in_brackets
        except ValueError:
            is_valid = False
    if not is_valid:
        raise ValueError("names a host that is neither a name nor an IP address")


def _is_label(label: str) -> bool:
    if not LABEL.fullmatch(label):
        return False
    try:
        label.removeprefix("xn--").encode().decode(
            "punycode" if label.startswith("xn--") else "ascii"
        )
    except UnicodeError:
        return False
    return True
