"""Connections that an edge passes on to the API: each begins with a PROXY v2 header, which says who its client is."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, override

from towonel.hub.context import Hub
from towonel.identity.hub_proof import has_hub_proof, make_hub_proof
from towonel.runtime.addresses import Network, unmap
from towonel.runtime.web import HttpProtocol
from towonel.wire import proxy
from towonel.wire.errors import ProtocolError
from towonel.wire.proxy import SIGNATURE, ProxyHeader

type Trust = Callable[[str, ProxyHeader], bool]


def make_protocol(hub: Hub) -> Callable[..., HttpProtocol]:
    """Return what makes the protocols of the hub's connections."""
    proof = make_hub_proof(hub.keys.node)
    trust = partial(is_trusted, proof, hub.policy.proxies)
    return partial(ProxiedProtocol, trust=trust)


def is_trusted(proof: bytes, networks: tuple[Network, ...], peer: str, header: ProxyHeader) -> bool:
    """Whether a header is believed: that of a trusted proxy, or of an edge that has the hub's key."""
    try:
        address = unmap(ip_address(peer))
    except ValueError:
        address = None
    is_proxy = address is not None and any(address in network for network in networks)
    return is_proxy or has_hub_proof(header, proof)


class ProxiedProtocol(HttpProtocol):
    """HTTP/1.1 that may begin with a PROXY v2 header, which no request begins with.

    Args:
        trust: says whether the header of a peer's address is believed.
    """

    _first = b""
    _has_begun = False  # what follows a header, or has none

    def __init__(self, *args: Any, trust: Trust, **options: Any) -> None:
        super().__init__(*args, **options)
        self._trust = trust

    @override
    def data_received(self, data: bytes) -> None:
        if self._has_begun:
            super().data_received(data)
            return
        self._first += data
        if self._first.startswith(SIGNATURE):
            self._read_header()
        elif not SIGNATURE.startswith(self._first):
            self._begin(self._first)

    def _read_header(self) -> None:
        try:
            found = proxy.read(self._first)
        except ProtocolError as error:
            self._refuse(error.detail)
            return
        if found is None:
            return
        header, length = found
        if header is not None:
            peer = self.client[0] if self.client is not None else ""
            if not self._trust(peer, header):
                self._refuse(
                    f"a PROXY header of {peer}, which TOWONEL_HUB_TRUSTED_PROXIES does not name"
                )
                return
            self.client = str(header.source.ip), header.source.port
        self._begin(self._first[length:])

    def _refuse(self, problem: str) -> None:
        self.bad_request = problem
        self._has_begun = True
        self.send_400_response(problem)

    def _begin(self, data: bytes) -> None:
        self._has_begun = True
        self._first = b""
        if data:
            super().data_received(data)
