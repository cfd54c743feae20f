"""Route of the hub's own name: which name it is, and where the hub's API listens without TLS.

hub.example.eu=http://127.0.0.1:8443
"""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from towonel.wire.errors import TowonelError
from towonel.wire.hub_urls import find_public_name, parse_hub_url
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, parse_server_name

OFF: Final = "off"
HUB: Final = TenantId(bytes(32))  # in the place of a tenant, where clients and orders are limited
_HTTP_PORT: Final = 80
_FORM: Final = (
    "must be a name and the hub's own address, as in hub.example.eu=http://127.0.0.1:8443, or off"
)


class HubRoute(NamedTuple):
    """Route of the hub's own name.

    Args:
        name: that clients ask for.
        url: of the hub's API, without TLS.
    """

    name: Hostname
    url: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the API."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _HTTP_PORT


def parse_hub_route(text: str, *, allow_insecure: bool) -> HubRoute:
    """Return the route that a text names.

    Raises:
        ValueError: it names none, or a hub that is to be reached in clear elsewhere than on this machine.
    """
    name, separator, url = text.partition("=")
    parts = urlsplit(url)
    if not separator or parts.scheme != "http" or parts.path.strip("/"):
        raise ValueError(_FORM)
    try:
        parse_hub_url(url, allow_insecure=allow_insecure)
        return HubRoute(parse_server_name(name.strip()), url)
    except TowonelError as error:
        raise ValueError(error.detail) from None


def find_hub_route(public_url: str | None, hub_url: str, port: int) -> HubRoute | None:
    """Return the route of the hub beside this edge, if its clients come to the edge's port.

    Args:
        public_url: the hub's, if it is beside this edge.
        hub_url: where the edge finds the hub.
        port: where the edge listens.
    """
    name = None if public_url is None else find_public_name(public_url, port)
    if name is None or not hub_url.startswith("http://"):
        return None
    return HubRoute(name, hub_url)


def find_direct_url(hub_url: str, self_route: str) -> str:
    """Return where an edge finds its hub: directly, if the name in the hub's URL is answered by the edge itself.

    That edge would wait for its hub else, whose name it answers only once it has its routes.

    Args:
        hub_url: as it is set, or a token has it.
        self_route: as it is set, and valid.
    """
    name, _, url = self_route.partition("=")
    return url if url and urlsplit(hub_url).hostname == name.strip().lower() else hub_url
