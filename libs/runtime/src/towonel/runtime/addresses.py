"""IP addresses: listeners as seen from their own machine, networks, and sources of traffic."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 compared, never bound
IPV6_SOURCE_BITS = 64  # one subscriber gets a /64 at least, and may use every address in it
EXAMPLE_ADDRESS = "0.0.0.0:443"  # in a message, where a setting has no default
_MAX_PORT = 65_535
_MAX_PORT_DIGITS = 5
# A name, with the underscores of some containers' names; what else there may be has an address.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?",
    re.ASCII | re.IGNORECASE,
)

type IpAddress = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


def loopback_url(listen_addr: tuple[str, int]) -> str:
    """Return the URL at which a listener is reached from its own machine."""
    host, port = listen_addr
    return f"http://{format_address(WILDCARDS.get(host, host), port)}"


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def describe_clash(
    address: tuple[str, int], variable: str, other: tuple[str, int] | None
) -> str | None:
    """Return why two TCP listeners cannot both be had, if that is certain: port 0 is any free one.

    Args:
        address: of the one that is in the way.
        variable: of the other.
        other: its address; None where it is not known.
    """
    if other is None or not address[1] or address[1] != other[1]:
        return None
    hosts = {address[0], other[0]}
    is_one_family = len({":" in host for host in hosts}) == 1
    if not is_one_family or (len(hosts) > 1 and hosts.isdisjoint(WILDCARDS)):
        return None
    taken = format_address(*address)
    return f"{taken} is taken by {variable}={format_address(*other)}; set another port"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `0.0.0.0:443` or `[::]:443`.

    Raises:
        ValueError: where the form is another.
    """
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:443")
    if not separator or not host or not (port.isascii() and port.isdigit()):
        raise ValueError(f"must be host:port, as in {EXAMPLE_ADDRESS}")
    if len(port) > _MAX_PORT_DIGITS or int(port) > _MAX_PORT:
        raise ValueError(f"the port must be at most {_MAX_PORT}, as in {EXAMPLE_ADDRESS}")
    if not _HOST.fullmatch(host) and not is_ip(host):
        raise ValueError(f"the host must be a name or an IP address, as in {EXAMPLE_ADDRESS}")
    return host, int(port)


def is_ip(text: str) -> bool:
    """Whether a text is an IP address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks; a single address is a network of one.

    Raises:
        ValueError: with a line for each that is none, and what it must be.
    """
    found: list[Network] = []
    problems: list[str] = []
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError:
            problems.append(f"{text!r} is not a network such as {_suggest_network(text)}")
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(found)


def _suggest_network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))  # the address of one machine in it was given
    except ValueError:
        return "10.0.0.0/8 or fd00::/8"


def unmap(address: IpAddress) -> IpAddress:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one, as dual-stack sockets show it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def source_of(address: IpAddress) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    address = unmap(address)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), IPV6_SOURCE_BITS), strict=False))
